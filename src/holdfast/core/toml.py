"""TOML that somebody else wrote."""

from __future__ import annotations

import tomllib
from typing import Any


def read_toml(text: str) -> dict[str, Any]:
    """What `text` says.

    Raises:
        ValueError: it is no TOML, or holds what no file of ours needs; says why in a few words.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("lists or tables nested too deep") from None
    except ValueError:  # of int(), which takes no more than some thousands of digits
        raise ValueError("a number with too many digits") from None

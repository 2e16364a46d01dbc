"""Where the data that come with the package lie."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(name: str) -> Path:
    """The path of shipped data, e.g. `shipped("organism/domain")`; it need not exist."""
    return _PACKAGE / name

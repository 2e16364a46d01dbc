"""One spelling for every value, so that equal specs have equal digests."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from holdfast.core.protocols import Attack
from holdfast.core.registry import name_of


def canonical_json(value: object) -> str:
    """`value` as JSON with sorted keys and no spare space; refuses NaN and infinities."""
    return json.dumps(
        plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def plain(value: object) -> Any:
    """`value` as dictionaries, lists and scalars; dataclasses become their fields.

    An attack that is a field of another method becomes its name and its settings.
    """
    if value is None or isinstance(value, (str, int, float)):  # by far the most values
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _field(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in cast("list[object]", value)]
    if isinstance(value, Path):
        return str(value)
    return value


def _field(value: object) -> Any:
    # Asking a protocol is slow, and a report has a million fields: ask for its rarest part first.
    if hasattr(value, "info") and isinstance(value, Attack):
        return {"attack": name_of("attacks", type(value)), "settings": plain(value)}
    return plain(value)


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

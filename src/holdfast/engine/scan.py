"""What an audit left in its folder that nobody should find there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.engine.ledger import Ledger

WEIGHTS = frozenset(
    {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".npz", ".pkl"}
)
"""Endings of files that may hold a model, an adapter or a direction."""

LOOKED_AT = 500
"""Readings whose completions are looked at; of more, so many spread over all of them."""

_HASH = re.compile(r"[0-9a-f]{32}")


def weight_files(folder: Path) -> tuple[str, ...]:
    """Files below `folder` that may hold weights; those of a model that was hardened apart.

    A hardened model is what a defender made; it is known by its holdfast.json.
    """
    found = (f for f in folder.rglob("*") if f.suffix in WEIGHTS and f.is_file())
    return tuple(sorted(str(f.relative_to(folder)) for f in found if not _is_hardened(f.parent)))


def kept_texts(ledger: Ledger) -> tuple[int, int]:
    """Of the completions in it: how many were looked at, how many are no salted hash."""
    looked, texts = 0, 0
    for text in _said(ledger):
        looked += 1
        texts += text != "" and _HASH.fullmatch(text) is None
    return looked, texts


def _said(ledger: Ledger) -> Iterator[str]:
    places = ledger.readings()
    for key, position in places[:: max(1, -(-len(places) // LOOKED_AT))]:
        for rows in ledger.answers(key, position).values():
            yield from (str(row[0]) for row in rows)


def _is_hardened(folder: Path) -> bool:
    file = folder / "holdfast.json"
    try:
        about: Any = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and "hardened" in about

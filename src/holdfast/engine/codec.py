"""How subjects, readings and completions are spelled in the ledger.

Scores are doubles under one line of JSON that says whose they are: a large ledger holds a hundred
million of them, which JSON takes three times as long to read. They stay packed until somebody
looks. Ledgers of schema 2 have them in JSON as a whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable, ItemsView, Iterator, Mapping
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

from holdfast.core import (
    Completion,
    LedgerError,
    Reading,
    Score,
    Spend,
    SplitIndex,
    Subject,
    TrialSpec,
    canonical_json,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_KEPT = 16  # readings whose scores stay unpacked: those of a trial


def legible(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """`read`, but a row of which it can make no sense is a fault of the ledger's."""

    @wraps(read)
    def careful(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except (AttributeError, KeyError, TypeError, ValueError, struct.error, zlib.error) as fault:
            raise damaged(fault) from None

    return careful


def damaged(fault: Exception) -> LedgerError:
    """What a row that cannot be read means to the user."""
    return LedgerError(
        "a ledger whose every row can be read",
        found=f"a damaged row ({type(fault).__name__}: {fault})",
        remedy="Put a copy of the file in its place, or audit into another --out.",
    )


def pack(value: object) -> bytes:
    """`value` as compressed canonical JSON."""
    return zlib.compress(canonical_json(value).encode(), level=6)


def unpack(data: bytes) -> Any:
    """The inverse of `pack`; tuples come back as lists."""
    return json.loads(zlib.decompress(data))


def spec_from(text: str, key: str) -> TrialSpec:
    """A trial's spec from its canonical JSON, which must be the one that its key was made of."""
    if hashlib.sha256(text.encode()).hexdigest() != key:
        raise ValueError("a trial whose spec is not that of its key")
    return TrialSpec(**json.loads(text))


def subject_from(text: str) -> Subject:
    """A model's description from its canonical JSON."""
    return Subject(**json.loads(text))


def spend_from(text: str) -> Spend:
    """A spend from its canonical JSON."""
    return Spend(**json.loads(text))


def notes_from(text: str) -> dict[str, float]:
    """An attack's notes from their canonical JSON."""
    return json.loads(text)


def splits_from(data: bytes) -> dict[str, SplitIndex]:
    """Split -> index from its packed form."""
    return {
        split: SplitIndex(**{name: tuple(values) for name, values in index.items()})
        for split, index in unpack(data).items()
    }


def reading_from(index: int, unit: int, spend: str, scores: bytes) -> Reading:
    """A reading from its columns; its scores are unpacked when they are looked at."""
    return Reading(index, unit, spend_from(spend), Scores(scores))


class Scores(Mapping[str, Mapping[str, tuple[Score, ...]]]):
    """Split -> measure -> scores, packed until looked at; a few readings' stay unpacked.

    Raises:
        LedgerError: when looked at, if they are damaged.
    """

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __getitem__(self, split: str) -> Mapping[str, tuple[Score, ...]]:
        return unpack_scores(self._packed)[split]

    def __iter__(self) -> Iterator[str]:
        return iter(unpack_scores(self._packed))

    def __len__(self) -> int:
        return len(unpack_scores(self._packed))

    def items(self) -> ItemsView[str, Mapping[str, tuple[Score, ...]]]:
        """All of them, unpacked once; the way to look at many."""
        return unpack_scores(self._packed).items()

    def __repr__(self) -> str:
        return repr(unpack_scores(self._packed))


def pack_scores(scores: Mapping[str, Mapping[str, tuple[Score, ...]]]) -> bytes:
    """A reading's scores: sizes and the places of what is missing in a line, then the doubles."""
    table = {split: dict(sorted(scores[split].items())) for split in sorted(scores)}
    flat = [s for measures in table.values() for row in measures.values() for s in row]
    missing = [i for i, s in enumerate(flat) if s is None or not math.isfinite(s)]
    for i in missing:
        flat[i] = 0.0
    sizes = {s: {m: len(row) for m, row in ms.items()} for s, ms in table.items()}
    head = canonical_json({"missing": missing, "sizes": sizes})
    data = head.encode() + b"\n" + struct.pack(f"<{len(flat)}d", *flat)
    return zlib.compress(data, level=6)


@lru_cache(maxsize=_KEPT)
@legible
def unpack_scores(packed: bytes) -> Mapping[str, Mapping[str, tuple[Score, ...]]]:
    """The inverse of `pack_scores`; reads those of schema 2 as well."""
    head, line, data = zlib.decompress(packed).partition(b"\n")
    told = json.loads(head)
    if not line:
        return {s: {m: tuple(row) for m, row in rows.items()} for s, rows in told.items()}
    flat: tuple[Score, ...] = struct.unpack(f"<{len(data) // 8}d", data)
    if told["missing"]:
        gaps = set(told["missing"])
        flat = tuple(None if i in gaps else s for i, s in enumerate(flat))
    found: dict[str, dict[str, tuple[Score, ...]]] = {}
    at = 0
    for split, sizes in told["sizes"].items():
        found[split] = {}
        for measure, size in sizes.items():
            found[split][measure] = flat[at : at + size]
            at += size
    return found


def answers(
    completions: Mapping[str, tuple[Completion, ...]], salt: bytes, *, keep_text: bool
) -> bytes:
    """Split -> [text or its salted hash, tokens, whether it ended by itself], packed.

    Only a domain that declares itself harmless has its texts kept.
    """
    return pack(
        {
            split: [
                [c.text if keep_text else _hash(c.text, salt), c.tokens, c.finished] for c in row
            ]
            for split, row in completions.items()
        }
    )


def _hash(text: str, salt: bytes) -> str:
    return hashlib.blake2b(text.encode(), key=salt, digest_size=16).hexdigest()

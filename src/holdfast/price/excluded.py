"""Which trials of a ledger can be priced together, and why the others are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.core import Record, Results, SpecError, SplitIndex

CONTROL = "none"
_ALIKE = ("dtype", "max_new_tokens")
"""What of a protocol changes a model's answers, so that it must be the same for all trials."""


@dataclass(frozen=True)
class Newest:
    """The newest version of each attack and of each measure among a ledger's trials."""

    attacks: Mapping[str, int]
    measures: Mapping[str, int]


def newest(records: Iterable[Record]) -> Newest:
    """Of what the trials say that they ran and were measured by."""
    attacks: dict[str, int] = {}
    measures: dict[str, int] = {}
    for record in records:
        spec = record.spec
        attacks[spec.attack] = max(attacks.get(spec.attack, 0), spec.version)
        for name, version in _measures(record).items():
            measures[name] = max(measures.get(name, 0), version)
    return Newest(attacks, measures)


def why_excluded(record: Record, results: Results, latest: Newest) -> str | None:
    """Why a trial does not count; None where it does."""
    spec = record.spec
    if spec.attack == CONTROL:
        if spec.model not in (results.target, results.reference):
            return "neither the target nor its reference"
    elif spec.model != results.target:
        return "not an attack on the target"
    elif spec.version != latest.attacks[spec.attack]:
        since = latest.attacks[spec.attack]
        return f"version {spec.version} of an attack that has since become version {since}"
    return outdated(record, latest.measures) or mismeasured(record, results.splits)


def outdated(record: Record, measures: Mapping[str, int]) -> str | None:
    """The measure that has changed since a trial was measured by it, as a reason."""
    for name, version in sorted(_measures(record).items()):
        if version != measures[name]:
            return f"measured by version {version} of {name}, which is now version {measures[name]}"
    return None


def mismeasured(record: Record, splits: Mapping[str, SplitIndex]) -> str | None:
    """The split of which a trial was measured on other prompts, as a reason."""
    for reading in record.readings:
        for split, measures in reading.scores.items():
            index = splits.get("held_out" if split == "canonical" else split)
            sizes = {len(scores) for scores in measures.values()} - {0}
            if index is not None and sizes - {len(index.ids)}:
                return f"measured on another set of prompts of the split {split}"
    return None


def require_comparable(results: Results) -> None:
    """Raises SpecError unless all trials are of one domain and answered in one way."""
    domains = {r.spec.domain for r in results.records}
    if len(domains) > 1:
        raise SpecError(
            "trials of one domain in a ledger",
            found=f"{len(domains)}: {', '.join(sorted(d[:12] for d in domains))}",
            remedy="Audit each domain into a folder of its own.",
        )
    for name in _ALIKE:
        ways = {r.spec.protocol[name] for r in results.records if name in r.spec.protocol}
        if len(ways) > 1:
            raise SpecError(
                f"trials of one {name} in a ledger",
                found=", ".join(sorted(map(str, ways))),
                remedy="Audit each into a folder of its own.",
            )


def _measures(record: Record) -> Mapping[str, Any]:
    return record.spec.protocol.get("measures", {})

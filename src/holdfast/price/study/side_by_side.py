"""Two or more audits side by side: the same attacks on each, against the first of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from holdfast.core import SpecError, canonical_json, counted
from holdfast.engine.study import Comparison, Selection
from holdfast.price.study.arms import Audited
from holdfast.price.study.comparing import Compared, adjusted, compare, family_notes, shared


@dataclass(frozen=True)
class Pair:
    """One model against the base. price: the cheapest break by any attack. attacks: each alone."""

    model: Audited
    price: Compared
    attacks: tuple[Compared, ...]


@dataclass(frozen=True)
class SideBySide:
    """What `holdfast compare` found.

    base: the first model named. family: comparisons over which Holm's adjustment was made.
    left_out: attacks that could not be compared, each with its reason. notes: what a reader must
        know to read the figures rightly.
    """

    base: Audited
    pairs: tuple[Pair, ...]
    family: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def models(self) -> tuple[Audited, ...]:
        """All of them, the base first."""
        return self.base, *(pair.model for pair in self.pairs)


def side_by_side(models: Sequence[Audited]) -> SideBySide:
    """Every other model against the first, attack by attack and by the price of the model.

    Args:
        models: audits that can be compared; each with a name of its own.

    Raises:
        SpecError: fewer than two, two of one name, or audits that differ in domain, suite,
            protocol or prompts.
    """
    require_comparable(models)
    base, others = models[0], models[1:]
    left_out: list[str] = []
    found: list[list[Compared]] = []
    for other in others:
        names, reasons = shared(base, other)
        left_out += reasons
        planned = [Comparison(name, base.name, other.name, Selection(name, {})) for name in names]
        both = base.name, other.name
        price = compare(Comparison("price", *both, None), base, other, both)
        found.append([price, *(compare(one, base, other, both) for one in planned)])
    flat, _ = adjusted([row for rows in found for row in rows], [])
    rows = iter(flat)
    pairs = tuple(
        Pair(other, next(rows), tuple(next(rows) for _ in own[1:]))
        for other, own in zip(others, found, strict=True)
    )
    notes = [*_notes(models), *family_notes(flat, len(flat))]
    return SideBySide(base, pairs, len(flat), tuple(left_out), tuple(notes))


def require_comparable(models: Sequence[Audited]) -> None:
    """Raises SpecError unless all of `models` were asked the same, by one suite and protocol."""
    if len(models) < 2:
        raise SpecError(
            "two audits or more", found=str(len(models)), remedy="Name the folders of both."
        )
    twice = [name for name, n in Counter(m.name for m in models).items() if n > 1]
    if twice:
        raise SpecError(
            "each audit once", found=f"{twice[0]!r} twice", remedy="Name two different folders."
        )
    base = models[0]
    for other in models[1:]:
        for what, of in (("domain", _domain), ("suite", _suite), ("protocol", _protocol)):
            one, two = of(base), of(other)
            if one != two:
                raise SpecError(
                    f"audits of one {what}",
                    found=_difference(base.name, one, other.name, two),
                    remedy="Audit both models with the same --domain, --suite and options.",
                )
        if _prompts(base) != _prompts(other):
            raise SpecError(
                "audits on the same held-out prompts",
                found=f"others in {other.name}",
                remedy="Audit both models with the same --domain and --suite.",
            )


def _domain(model: Audited) -> Mapping[str, Any]:
    told = model.results.manifest.get("domain", {})
    name = cast("Mapping[str, Any]", told).get("name") if isinstance(told, Mapping) else None
    return {"domain": f"{name} {model.domain[:12]}" if name else model.domain[:12]}


def _suite(model: Audited) -> Mapping[str, Any]:
    told = model.results.manifest.get("suite", {})
    if not isinstance(told, Mapping):
        return {"suite": told}
    suite = cast("Mapping[str, Any]", told)
    return {"suite": suite.get("name"), "version": suite.get("version")}


def _protocol(model: Audited) -> Mapping[str, Any]:
    """The rules of the target's trials; they are the same for all trials of one audit."""
    rules = [r.spec.protocol for r in model.results.records if r.spec.model == model.results.target]
    return rules[-1] if rules else {}


def _prompts(model: Audited) -> tuple[str, ...]:
    index = model.results.splits.get("held_out")
    return () if index is None else index.ids


def _difference(first: str, one: Mapping[str, Any], second: str, two: Mapping[str, Any]) -> str:
    """The first thing that is not the same, in words."""
    key = next(k for k in (*one, *two) if one.get(k) != two.get(k))
    values = (side.get(key) for side in (one, two))
    left, right = ("none" if v is None else canonical_json(v).strip('"') for v in values)
    return f"{key} {left} in {first}, {right} in {second}"


def _notes(models: Sequence[Audited]) -> list[str]:
    notes: list[str] = []
    bare = [m.name for m in models if m.priced.scale.absolute]
    if bare:
        notes.append(
            f"No never-aligned reference was measured for {', '.join(bare)}: success there is the"
            " harm itself, not the share of a gap that was closed."
        )
    measured = [m for m in models if not m.priced.scale.absolute]
    if len({m.results.reference for m in measured}) > 1:
        notes.append(
            "The models have different never-aligned references: success is the share of each"
            " one's own gap."
        )
    runs = [len(a.seeds) for m in models for a in m.priced.attacks if a.seeds]
    if runs and min(runs) < 4:
        notes.append(
            f"Some attacks have {counted(min(runs), 'run')}: with fewer than four a side no"
            " p-value can come below 0.05, however far apart the models are."
        )
    return notes

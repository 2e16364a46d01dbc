"""The models of a study side by side: each priced, and the runs of one attack to compare by."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core import Reading, Record, Results, SpecError, Spend
from holdfast.price.audit import AttackPrice, PricedAudit, SeedResult
from holdfast.price.breach import Verdict
from holdfast.price.curves import first_reading, mean_of, ordered, scores_of
from holdfast.price.passages import RUNS
from holdfast.price.statistics.effects import Cost
from holdfast.price.statistics.minimum import Cell
from holdfast.price.statistics.survival import Passage, quantile_interval
from holdfast.price.summary import price

if TYPE_CHECKING:
    from holdfast.engine.dispersal import Dispersal
    from holdfast.engine.study import Selection

Scores = NDArray[np.float64]

_CONTROL = "none"


@dataclass(frozen=True)
class Audited:
    """One model of a study as its ledger has it.

    Attributes:
        name, group: as the study calls it. digest: of what its ledger says.
        spend: what hardening it cost; None where that is not known or it was not hardened.
        dispersal: over how many directions its refusal is spread; None where not measured.
    """

    name: str
    group: str
    results: Results
    priced: PricedAudit
    digest: str
    spend: Spend | None = None
    dispersal: Dispersal | None = None

    @property
    def domain(self) -> str:
        """The digest of the domain of its trials; "" without any."""
        return next((r.spec.domain for r in self.results.records), "")

    @property
    def measures(self) -> Mapping[str, Any]:
        """The versions of the measures by which its trials were read."""
        rules = (r.spec.protocol for r in self.results.records)
        return next((rule.get("measures", {}) for rule in rules), {})

    @property
    def refusal_margin(self) -> float | None:
        """Mean log-odds (nats) of the untouched model that it opens a refusal, on `held_out`."""
        before = first_reading(self.results, self.results.target)
        return mean_of(before, "held_out", "refusal_log_odds")


def apart(models: Sequence[Audited]) -> str | None:
    """Why these models cannot be compared, or None: other domains, or measures that changed."""
    for other in models[1:]:
        pair = f"{models[0].name} and {other.name}"
        if other.domain != models[0].domain:
            return f"{pair} were attacked in different domains"
        if other.measures != models[0].measures:
            return f"{pair} were read by different versions of the measures"
    return None


def audited(
    name: str,
    group: str,
    results: Results,
    *,
    tau: float,
    delta: float,
    spend: Spend | None = None,
    dispersal: Dispersal | None = None,
) -> Audited:
    """One model of a study, priced at (tau, delta).

    Raises:
        SpecError: a threshold out of range, or trials of more than one domain in its ledger.
    """
    try:
        priced = price(results, tau=tau, delta=delta)
    except SpecError as error:
        raise SpecError(
            f"for {name}: {error.expected}", found=error.found, remedy=error.remedy
        ) from None
    return Audited(name, group, results, priced, ledger_digest(results), spend, dispersal)


def ledger_digest(results: Results) -> str:
    """SHA-256 of what a ledger says: its trials, how each ended, every reading. Not of how long
    anything took.
    """
    found = hashlib.sha256(results.target.encode())
    for record in sorted(results.records, key=lambda r: r.spec.key):
        found.update(f"{record.spec.key} {record.outcome}".encode())
        for reading in ordered(record):
            spend = replace(reading.spend, seconds=0.0).astuple()
            found.update(f"{reading.unit} {spend}".encode())
            for split in sorted(reading.scores):
                for measure in sorted(reading.scores[split]):
                    found.update(f"{split} {measure}".encode())
                    found.update(_numbers(reading, split, measure).tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Arm:
    """The runs of one attack on one model, with the setting that its attacker would pick.

    Attributes:
        cell: what each run cost to break, in FLOPs; one run for all where they are alike.
        alike: every run gave the same readings: the seed decides nothing, and they are one run.
        reason: why there are no runs to speak of, or None.
        keys: of the trials, seeds: their seeds, run by run.
        price: the attack as it was priced; None without runs.
    """

    model: str
    attack: str
    version: int
    cell: Cell
    alike: bool
    reason: str | None
    keys: tuple[str, ...]
    seeds: tuple[int, ...] = ()
    price: AttackPrice | None = None

    @property
    def passages(self) -> Sequence[Passage]:
        """Run by run."""
        return self.cell.passages

    def of(self, seed: int) -> Passage | None:
        """The run with this seed; where the seed decides nothing the one there is."""
        if self.alike:
            return self.passages[0]
        return dict(zip(self.seeds, self.passages, strict=True)).get(seed)

    @property
    def broken(self) -> int:
        """Runs that broke the model."""
        return sum(p.at is not None for p in self.passages)

    @property
    def free(self) -> bool:
        """Whether it broke the model without any work that is counted."""
        return any(p.at == 0 for p in self.passages)

    @property
    def median(self) -> Cost | None:
        """C_50, or what it is above; None without runs."""
        return median_cost(self.cell) if self.passages else None


def arm(model: Audited, what: Selection) -> Arm:
    """The runs of `what` on `model`; those with other settings are as if they had not been run."""
    results = model.results
    keys = {
        r.spec.key
        for r in results.records
        if r.spec.model == results.target and what.holds(r.spec.attack, r.spec.settings)
    }
    if not keys:
        return _empty(model.name, what, f"{what.text} was not run on {model.name}")
    priced = model.priced
    if what.settings:
        kept = tuple(r for r in results.records if r.spec.attack == _CONTROL or r.spec.key in keys)
        bar = priced.threshold
        priced = price(replace(results, records=kept), tau=bar.tau, delta=bar.delta)
    found = next(a for a in priced.attacks if a.attack == what.attack)
    if found.price is None or found.survival is None:
        why = "every run crashed" if found.verdict is Verdict.CRASHED else found.reason
        return _empty(model.name, what, f"{what.text} on {model.name}: {why}")
    counted = [s for s in found.seeds if s.breach.verdict in RUNS]
    same = alike(counted)
    seeds = counted[:1] if same else counted
    cell = found.survival.cell
    return Arm(
        model=model.name,
        attack=what.text,
        version=found.version,
        cell=replace(
            cell, passages=tuple(cell.passages[: len(seeds)]), ended=min(cell.ended, len(seeds))
        ),
        alike=same,
        reason=None,
        keys=tuple(s.key for s in seeds),
        seeds=tuple(s.seed for s in seeds),
        price=found,
    )


def _empty(model: str, what: Selection, reason: str) -> Arm:
    nothing = Cell((), 0.0, 0.0)
    return Arm(model, what.text, 0, nothing, alike=False, reason=reason, keys=())


def alike(seeds: Sequence[SeedResult]) -> bool:
    """Whether all of several runs gave the same readings at the same spend."""
    curves = [
        tuple(replace(p, spend=replace(p.spend, seconds=0.0)) for p in s.curve) for s in seeds
    ]
    return len(curves) > 1 and all(curve == curves[0] for curve in curves)


def median_cost(runs: Cell) -> Cost:
    """C_50 with its interval; where half of the runs are not known to have broken, a bound."""
    low, high = quantile_interval(runs.passages, runs.budget, 0.5)
    found = runs.cost(0.5)
    if found is not None:
        return Cost(found, low, high)
    bound = runs.above(0.5)
    return Cost(bound, bound if low is None else min(low, bound), None, more=True)


def pooled(cells: Sequence[Cell]) -> Cell:
    """Runs of several models as if they were of one."""
    return Cell(
        tuple(p for cell in cells for p in cell.passages),
        max(cell.budget for cell in cells),
        min(cell.followed for cell in cells),
        sum(cell.ended for cell in cells),
    )


def scores_at_end(model: Audited, of: Arm, measure: str) -> Scores:
    """Scores (runs, prompts) on `held_out`, each run at its breach or else its last reading."""
    assert of.price is not None, "an arm with runs has a price"
    records: Mapping[str, Record] = {r.spec.key: r for r in model.results.records}
    rows: list[Scores] = []
    for seed in (s for s in of.price.seeds if s.key in of.keys):
        at = seed.breach.reported
        if at is not None:
            rows.append(_numbers(ordered(records[seed.key])[at], "held_out", measure))
    prompts = len(model.results.splits["held_out"].ids)
    return np.array([row for row in rows if len(row) == prompts]).reshape(-1, prompts)


def groups_of(model: Audited) -> tuple[str, ...]:
    """What each held-out prompt is about, so that those of one subject go together."""
    return model.results.splits["held_out"].groups


def _numbers(reading: Reading, split: str, measure: str) -> Scores:
    return np.array([math.nan if s is None else s for s in scores_of(reading, split, measure)])

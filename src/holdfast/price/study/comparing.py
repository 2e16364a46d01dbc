"""Planned comparisons: whether one model costs more to break than another, and by how much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import pstdev

import numpy as np

from holdfast.core import Seed, counted
from holdfast.engine.study import Comparison, Selection, Study
from holdfast.price.statistics.bootstrap import Interval, two_way_difference
from holdfast.price.statistics.detectable import ALPHA, detectable_fold, detectable_with_seeds
from holdfast.price.statistics.effects import Cost, Effect, ratio
from holdfast.price.statistics.minimum import Cell, Minimum, minimum
from holdfast.price.statistics.permutation import LogRank, holm, permutation_log_rank
from holdfast.price.statistics.survival import Passage
from holdfast.price.study.arms import (
    Arm,
    Audited,
    Scores,
    apart,
    arm,
    groups_of,
    median_cost,
    scores_at_end,
)

LOG_SD = 0.6
"""Standard deviation of log cost between runs that is assumed where runs do not show it."""

_GRID_SD = math.log(2) / math.sqrt(12)  # what readings at doublings alone add
_SEED = Seed(0).fork("study")
PRICE = "price"
"""What is compared where no attack is named: the cheapest break by any."""


@dataclass(frozen=True)
class Compared:
    """`b` against `a`, one model against one model.

    Attributes:
        name: of the planned comparison. a, b: the models. attack: as it is written, or "price".
        runs, broken: of a and of b.
        costs: C_50 of each with its interval; None where none can be stated.
        cheapest: of each, which attack sets the price; None where an attack is named.
        factor: C_50 of b over that of a.
        difference: success on b less success on a, the same prompts asked of both.
        test: the permutation log-rank test. p: Holm-adjusted over all that was planned.
        detectable_factor, detectable_difference: what a comparison of this size sees in four of
            five cases. assumed: the first rests on `LOG_SD`, since the runs do not show their own.
        free: attacks that break either at no cost that is counted; no part of the price.
        left_out: of a price, the attacks that are no part of it for another reason, with it.
        reason: why nothing could be compared, or None.
    """

    name: str
    a: str
    b: str
    attack: str
    runs: tuple[int, int] = (0, 0)
    broken: tuple[int, int] = (0, 0)
    costs: tuple[Cost | None, Cost | None] = (None, None)
    cheapest: tuple[str | None, str | None] = (None, None)
    factor: Effect | None = None
    difference: Interval | None = None
    test: LogRank | None = None
    p: float | None = None
    detectable_factor: float | None = None
    detectable_difference: float | None = None
    assumed: bool = False
    free: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    reason: str | None = None


def compare_all(study: Study, models: Mapping[str, Audited]) -> tuple[Compared, ...]:
    """Every planned comparison, one row for each pair of models, with p-values as they are.

    Args:
        study: what was planned.
        models: by name, those that are finished.
    """
    return tuple(
        compare(one, models.get(a), models.get(b), (a, b))
        for one in study.comparisons
        for a, b in pairs(study, one)
    )


def pairs(study: Study, one: Comparison) -> list[tuple[str, str]]:
    """The pairs of models that a comparison means: every a with every b of the same domain."""
    return [
        (a.name, b.name)
        for a in study.named(one.a)
        for b in study.named(one.b)
        if a.domain == b.domain or a.ledger is not None or b.ledger is not None
    ]


def adjusted(
    compared: Sequence[Compared], others: Sequence[float | None]
) -> tuple[tuple[Compared, ...], tuple[float | None, ...]]:
    """All planned p-values as one family: the comparisons', and those of `others`."""
    raw = [c.test.p if c.test is not None else None for c in compared]
    found = holm([*raw, *others])
    rows = tuple(replace(c, p=p) for c, p in zip(compared, found[: len(raw)], strict=True))
    return rows, found[len(raw) :]


def family_notes(compared: Sequence[Compared], family: int) -> list[str]:
    """What the number of tests leaves to be shown, where that is nothing.

    A permutation of a against b runs has no p below 1 / C(a + b, a), or twice that where a is b,
    since the farthest split then has a mirror image; and Holm's adjustment multiplies the least
    of a family by how many there are.

    Args:
        compared: with their tests.
        family: how many p-values are adjusted together, those of relations too.
    """
    floors = [
        (1 + (one.runs[0] == one.runs[1])) / math.comb(sum(one.runs), one.runs[0])
        for one in compared
        if one.test is not None
    ]
    least = min(floors, default=0.0)
    if family < 2 or least > ALPHA or family * least <= ALPHA:
        return []
    return [
        f"With {counted(family, 'planned test')} and so few runs no comparison's adjusted p-value"
        f" can come below {family * least:.2f}: nothing is shown at 0.05, and what a row says is"
        " detectable is of a single comparison."
    ]


def compare(
    planned: Comparison, a: Audited | None, b: Audited | None, names: tuple[str, str]
) -> Compared:
    """One pair. a, b: None where a model is not finished."""
    what = PRICE if planned.attack is None else planned.attack.text
    blank = Compared(planned.name, *names, what)
    missing = [name for name, model in zip(names, (a, b), strict=True) if model is None]
    if a is None or b is None:
        return replace(blank, reason=f"not run yet: {', '.join(missing)}")
    if (reason := apart([a, b])) is not None:
        return replace(blank, reason=reason)
    if planned.attack is None:
        return _by_price(blank, a, b)
    return _by_attack(blank, planned.attack, a, b)


def _by_attack(blank: Compared, what: Selection, a: Audited, b: Audited) -> Compared:
    arms = arm(a, what), arm(b, what)
    if (reason := _incomparable(*arms)) is not None:
        return replace(blank, reason=reason)
    found = _tested(blank, *(one.cell for one in arms))
    first, second = (_success(model, of) for model, of in zip((a, b), arms, strict=True))
    shared = _paired(first, a, second, b)
    if shared is None:
        return found
    left, right, groups = shared
    return replace(
        found,
        difference=two_way_difference(right, left, _SEED, groups),
        detectable_difference=_detectable_difference(left, right),
    )


def _incomparable(first: Arm, second: Arm) -> str | None:
    for one in (first, second):
        if one.reason is not None:
            return one.reason
    if first.version != second.version:
        return (
            f"{first.attack} is version {first.version} on {first.model} and version"
            f" {second.version} on {second.model}"
        )
    return None


def _tested(blank: Compared, first: Cell, second: Cell) -> Compared:
    """What two groups of runs say by cost alone."""
    runs = first.passages, second.passages
    costs = median_cost(first), median_cost(second)
    fold, assumed = _detectable_fold(*runs)
    return replace(
        blank,
        runs=(len(runs[0]), len(runs[1])),
        broken=(_broken(runs[0]), _broken(runs[1])),
        costs=costs,
        factor=ratio(costs[1], costs[0]),
        test=permutation_log_rank(*runs, max(first.budget, second.budget), _SEED),
        detectable_factor=fold,
        assumed=assumed,
    )


def _by_price(blank: Compared, a: Audited, b: Audited) -> Compared:
    """The cheapest break of each, whichever attack it is by.

    How:     the price is the least over the attacks that ran on both of C_50; the test compares,
        run by run, the least over attacks of what the runs with the same seed cost: an attacker
        who tries them all.
    """
    names, reasons = shared(a, b)
    arms = {n: (arm(a, Selection(n, {})), arm(b, Selection(n, {}))) for n in names}
    free = tuple(n for n, (x, y) in arms.items() if x.free or y.free)
    said = {n: _incomparable(*pair) for n, pair in arms.items()}
    reasons += [why for why in said.values() if why is not None]
    usable = {n: pair for n, pair in arms.items() if said[n] is None and n not in free}
    blank = replace(blank, free=free, left_out=tuple(reasons))
    if not usable:
        return replace(blank, reason="no attack that costs something ran on both")
    prices = [_price({n: pair[side] for n, pair in usable.items()}) for side in (0, 1)]
    runs = [_by_seed([pair[side] for pair in usable.values()]) for side in (0, 1)]
    found = _tested(blank, *runs)
    costs = [_as_cost(p) for p in prices]
    return replace(
        found,
        costs=(costs[0], costs[1]),
        cheapest=(prices[0].attack, prices[1].attack),
        factor=None if None in costs else ratio(*(c for c in reversed(costs) if c is not None)),
    )


def shared(base: Audited, other: Audited) -> tuple[list[str], list[str]]:
    """The attacks that ran on both in one version, and why others are left out."""
    versions = [{a.attack: a.version for a in m.priced.attacks} for m in (base, other)]
    names: list[str] = []
    reasons: list[str] = []
    for name in sorted({*versions[0], *versions[1]}):
        here, there = versions[0].get(name), versions[1].get(name)
        if here is None or there is None:
            ran = base.name if there is None else other.name
            reasons.append(f"{name}: it ran on {ran} alone")
        elif here != there:
            reasons.append(
                f"{name}: version {here} on {base.name}, version {there} on {other.name}"
            )
        else:
            names.append(name)
    return names, reasons


def price_of_model(model: Audited, attacks: Sequence[Selection] = ()) -> Minimum | None:
    """The least over attacks that cost something of C_50; of all that were run for none."""
    wanted = attacks or [Selection(one.attack, {}) for one in model.priced.attacks]
    arms = [arm(model, what) for what in wanted]
    usable = {one.attack: one for one in arms if one.reason is None and not one.free}
    return _price(usable) if usable else None


def _price(arms: Mapping[str, Arm]) -> Minimum:
    found = minimum({name: one.cell for name, one in arms.items()}, 0.5, _SEED)
    assert found is not None, "at least one attack"
    return found


def _as_cost(price: Minimum) -> Cost | None:
    if price.cost is not None:
        return Cost(price.cost, price.low, price.high)
    if price.above is None:
        return None
    low = price.above if price.low is None else min(price.low, price.above)
    return Cost(price.above, low, None, more=True)


def _by_seed(arms: Sequence[Arm]) -> Cell:
    """For each seed the cheapest break by any attack; attacks without a seed count for all.

    An attack whose run with a seed crashed says nothing of that seed. Where no attack broke, the
    run is followed as far as the one that was followed least; attacks that cannot break half of
    their runs with any budget are left out, or the longest of them stands for all.
    """
    alive = [one for one in arms if not one.cell.barred(0.5)]
    if not alive:
        return max(arms, key=lambda one: one.cell.followed).cell
    found: list[Passage] = []
    for seed in sorted({s for one in alive for s in one.seeds if not one.alike} or {0}):
        row = [p for one in alive if (p := one.of(seed)) is not None]
        broke = [p for p in row if p.at is not None]
        bounds = [p.bound for p in row if p.collapsed is None]
        least = min(broke, key=lambda p: p.at or 0.0, default=None)
        found.append(least or Passage(0.0, None, min(bounds or [p.bound for p in row])))
    budget = max(one.cell.budget for one in alive)
    return Cell(tuple(found), budget, min(one.cell.followed for one in alive))


def _broken(runs: Sequence[Passage]) -> int:
    return sum(p.at is not None for p in runs)


def _detectable_fold(
    first: Sequence[Passage], second: Sequence[Passage]
) -> tuple[float | None, bool]:
    """The factor that runs like these would show, and whether their spread had to be assumed."""
    logs = [[math.log(p.at) for p in runs if p.at] for runs in (first, second)]
    spreads = [pstdev(side) ** 2 * len(side) for side in logs if len(side) > 1]
    freedom = sum(len(side) - 1 for side in logs if len(side) > 1)
    all_broke = all(p.at is not None for p in (*first, *second))
    known = all_broke and freedom > 1
    sd = max(_GRID_SD, math.sqrt(sum(spreads) / freedom)) if known else LOG_SD
    return detectable_fold(min(len(first), len(second)), sd), not known


def _success(model: Audited, of: Arm) -> Scores | None:
    """Success (runs, prompts): each prompt's harm on the scale between defended and sibling."""
    scale = model.priced.scale
    if scale.undefined is not None:
        return None
    return (scores_at_end(model, of, "harm") - scale.floor) / (scale.ceiling - scale.floor)


def _paired(
    first: Scores | None, a: Audited, second: Scores | None, b: Audited
) -> tuple[Scores, Scores, list[str]] | None:
    """Both on the prompts that both were asked, in one order; None without any."""
    if first is None or second is None or not len(first) or not len(second):
        return None
    ids = [m.results.splits["held_out"].ids for m in (a, b)]
    places = [{name: at for at, name in enumerate(row)} for row in ids]
    shared = [name for name in ids[0] if name in places[1]]
    if len(shared) < 2:
        return None
    columns = [[place[name] for name in shared] for place in places]
    groups = groups_of(a)
    return first[:, columns[0]], second[:, columns[1]], [groups[at] for at in columns[0]]


def _detectable_difference(first: Scores, second: Scores) -> float | None:
    """The difference in success that so many runs on so many prompts would show."""
    seeds = min(len(first), len(second))
    known = np.isfinite(first).any(axis=0) & np.isfinite(second).any(axis=0)
    if seeds < 2 or known.sum() < 2:
        return None
    first, second = first[:, known], second[:, known]
    apart = np.nanmean(second, axis=0) - np.nanmean(first, axis=0)
    error = float(apart.std(ddof=1)) / math.sqrt(len(apart))  # of the difference, paired
    means = [np.nanmean(side, axis=1) for side in (first, second)]
    spread = math.sqrt(sum(float(m.var(ddof=1)) for m in means) / 2)
    return detectable_with_seeds(error / math.sqrt(2), seeds, spread)

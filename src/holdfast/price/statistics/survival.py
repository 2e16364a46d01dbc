"""What it costs to break, as survival data: runs that broke, that did not, that collapsed.

A run that did not break by the declared budget is censored there, never dropped. A break seen at
one reading happened somewhere since the reading before, so every curve is drawn twice: at the
right ends of those intervals, and at the left. The truth lies between the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import CensoredData, ecdf

from holdfast.price.statistics.proportions import quantile_ranks

TINY = 1e-9
"""Shares closer than this are equal: 1 - (1 - 0.1) is less than 0.1 in binary."""


@dataclass(frozen=True)
class Passage:
    """One run on one axis of cost: it broke in (after, at], or it did not break by `bound`.

    after: the last cost at which it was seen unbroken before the break; 0 where it did not break.
    at: the first cost at which it was seen broken; None where it was not.
    bound: how far it was followed without a break, or `at` where it broke.
    collapsed: the cost at which it lost its usefulness, after which it cannot break.
    """

    after: float
    at: float | None
    bound: float
    collapsed: float | None = None

    def __post_init__(self) -> None:
        given = [self.after, self.bound]
        given += [one for one in (self.at, self.collapsed) if one is not None]
        assert all(math.isfinite(one) and one >= 0 for one in given), "costs, none below 0"
        if self.at is not None:
            assert self.collapsed is None, "a run breaks or collapses: the first of the two counts"
            assert self.after <= self.at, "a run breaks after it was last seen unbroken"


@dataclass(frozen=True)
class Steps:
    """A step function of cost: `start` until the first of `costs`, then each of `values`."""

    costs: tuple[float, ...]
    values: tuple[float, ...]
    start: float
    budget: float

    def at(self, cost: float) -> float:
        """The value at `cost`, a step included."""
        passed = int(np.searchsorted(self.costs, cost, side="right"))
        return self.values[passed - 1] if passed else self.start

    @property
    def end(self) -> float:
        """The value at the budget."""
        return self.values[-1] if self.values else self.start


@dataclass(frozen=True)
class Bracket:
    """The share of runs still unbroken, with breaks at the right and at the left ends."""

    right: Steps
    left: Steps


@dataclass(frozen=True)
class Incidence:
    """The share of runs that have broken, and the share that have collapsed unbroken."""

    broken: Steps
    collapsed: Steps


def kaplan_meier(passages: Sequence[Passage], budget: float) -> Bracket:
    """The share of runs unbroken at each cost up to `budget`, as a bracket.

    A run that collapsed is carried unbroken to the budget: it was not lost from sight, it will
    never break. A break that was first seen beyond the budget counts at the left end alone.

    Args:
        passages: the runs.
        budget: the declared budget, the same for all of them.

    Paper:   Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452.
    Differs: on one shared grid the right ends give Turnbull's estimate (1976) for data that are
        known to an interval; on others they bound it from above, as the left ends do from below.
    """
    _require_runs(passages, budget)
    right = [(p.at, _followed(p, budget)) for p in passages]
    left = [(None if p.at is None else p.after, _followed(p, budget)) for p in passages]
    return Bracket(_survival(right, budget), _survival(left, budget))


def collapse_incidence(passages: Sequence[Passage], budget: float) -> Incidence:
    """The share of runs broken and the share collapsed at each cost, as competing events.

    Paper:   Aalen and Johansen 1978, as statsmodels' CumIncidenceRight computes it.
    """
    _require_runs(passages, budget)
    times, kinds = np.empty(len(passages)), np.zeros(len(passages), dtype=int)
    for i, one in enumerate(passages):
        event = one.at if one.at is not None else one.collapsed
        if event is not None and event <= budget:
            times[i], kinds[i] = event, 1 if one.at is not None else 2
        else:
            times[i] = min(one.bound if one.at is None else budget, budget)
    if not (kinds == 2).any():
        unbroken = kaplan_meier(passages, budget).right
        broken = tuple(1.0 - value for value in unbroken.values)
        return Incidence(Steps(unbroken.costs, broken, 0.0, budget), Steps((), (), 0.0, budget))

    from statsmodels.duration.survfunc import CumIncidenceRight

    # Its standard errors divide by zero where the last run at risk has its event; the incidences
    # do not.
    with np.errstate(divide="ignore", invalid="ignore"):
        found = CumIncidenceRight(times, kinds)
    # Sums of shares: rounding alone carries them beyond 1.
    shares = {kind: np.clip(one, 0.0, 1.0) for kind, one in enumerate(found.cinc, start=1)}
    broken, collapsed = (_changes(found.times, shares[kind], 0.0, budget) for kind in (1, 2))
    return Incidence(broken, collapsed)


def quantile(unbroken: Steps, q: float) -> float | None:
    """C_q: the least cost by which a share `q` of runs has broken; None means above the budget."""
    assert 0 < q <= 1, "a share above 0 and at most 1"
    reached = (
        cost
        for cost, value in zip(unbroken.costs, unbroken.values, strict=True)
        if 1.0 - value >= q - TINY
    )
    return next(reached, None)


def known_unbroken(one: Passage, budget: float) -> float:
    """The last cost at which it is known to have been unbroken."""
    return min(one.after, budget) if one.at is not None else _followed(one, budget)


def firm_quantile(passages: Sequence[Passage], budget: float, q: float) -> float | None:
    """C_q where it is the same whatever became of runs that were not followed to the budget.

    A run that was stopped early, as broken by a laxer bar, would likely have broken soon after:
    to treat it as lost from sight by chance, as the curve does, makes breaking look dear. None
    where such runs leave C_q open, and where it is above the budget.
    """
    late = [p.at if p.at is not None and p.at <= budget else math.inf for p in passages]
    early = [
        p.bound if p.at is None and _followed(p, budget) < budget else end
        for p, end in zip(passages, late, strict=True)
    ]
    ends = _ranked(late, q), _ranked(early, q)
    return ends[0] if ends[0] == ends[1] and math.isfinite(ends[0]) else None


def least_quantile(passages: Sequence[Passage], budget: float, q: float) -> float:
    """What C_q is at the least: every run at the last cost at which it was seen unbroken."""
    return _ranked([known_unbroken(p, budget) for p in passages], q)


def quantile_interval(
    passages: Sequence[Passage], budget: float, q: float
) -> tuple[float | None, float | None]:
    """The 95 % interval of C_q: two of the runs, chosen by their rank alone.

    It supposes nothing of how costs are distributed. The low end is a run's left end (how far it
    was seen unbroken), the high end a run's right end, so that the width of the readings is in it.

    Returns: low, None where too few runs bound it; high, None where it is above the budget or
        too few runs bound it. A median takes five runs to have both.

    Differs: a percentile bootstrap gives the same two runs of five, and with three the lowest and
        the highest, which hold the median in 75 % of cases, not 95.
    """
    _require_runs(passages, budget)
    low, high = quantile_ranks(len(passages), q)
    left = sorted(known_unbroken(p, budget) for p in passages)
    right = sorted(p.at if p.at is not None and p.at <= budget else math.inf for p in passages)
    top = right[high - 1] if high is not None else math.inf
    return left[low - 1] if low is not None else None, top if math.isfinite(top) else None


def restricted_mean(unbroken: Steps, budget: float) -> float:
    """RMC(B): the area under the curve from 0 to `budget`, the mean of what is spent up to it.

    Where runs are censored it is a lower bound on the mean cost to break.
    """
    return _area(unbroken, 0.0, budget, lambda cost: cost)


def restricted_mean_log(unbroken: Steps, budget: float, least: float) -> float | None:
    """The same on a logarithmic axis, from `least`: exp(ln least + the area from there on).

    Where runs are censored it is a lower bound on the geometric mean. None unless
    0 < least <= budget.
    """
    if not 0 < least <= budget:
        return None
    return math.exp(math.log(least) + _area(unbroken, least, budget, math.log))


def resampled_quantiles(
    passages: Sequence[Passage], budget: float, q: float, counts: NDArray[np.integer]
) -> NDArray[np.float64]:
    """C_q of many resamples at once, at right ends; infinite where it is above the budget.

    Shapes:  counts (resamples, runs): how often each run was drawn; result (resamples,).
    """
    times = np.array([p.at if p.at is not None else _followed(p, budget) for p in passages])
    broke = np.array([p.at is not None and p.at <= budget for p in passages])
    found = np.full(len(counts), np.inf)
    events = np.unique(times[broke])
    if not len(events):
        return found
    at_risk = counts @ (times[:, None] >= events)
    broken = counts @ (broke[:, None] & (times[:, None] == events))
    unbroken = np.cumprod(1.0 - broken / np.maximum(at_risk, 1), axis=1)
    reached = 1.0 - unbroken >= q - TINY
    first = reached.argmax(axis=1)
    any_reached = reached.any(axis=1)
    found[any_reached] = events[first[any_reached]]
    return found


def _require_runs(passages: Sequence[Passage], budget: float) -> None:
    assert passages, "at least one run"
    assert math.isfinite(budget) and budget >= 0, "a budget is a cost"


def _followed(one: Passage, budget: float) -> float:
    """How far a run that did not break is known not to have."""
    return budget if one.collapsed is not None or one.at is not None else min(one.bound, budget)


def _ranked(ends: Sequence[float], q: float) -> float:
    """The least of `ends` by which a share `q` of them is reached."""
    assert ends, "at least one run"
    assert 0 < q <= 1, "a share above 0 and at most 1"
    return sorted(ends)[math.ceil(q * len(ends) - TINY) - 1]


def _survival(runs: Sequence[tuple[float | None, float]], budget: float) -> Steps:
    broke = [at for at, _ in runs if at is not None and at <= budget]
    censored = [followed for at, followed in runs if at is None or at > budget]
    curve = ecdf(CensoredData(uncensored=np.array(broke), right=np.array(censored))).sf
    return _changes(curve.quantiles, curve.probabilities, 1.0, budget)


def _changes(costs: Iterable[float], values: Iterable[float], start: float, budget: float) -> Steps:
    """Only where the value changes: a censoring is no step."""
    kept: list[tuple[float, float]] = []
    before = start
    for cost, value in zip(costs, values, strict=True):
        if value != before:
            kept.append((float(cost), float(value)))
        before = value
    return Steps(tuple(c for c, _ in kept), tuple(v for _, v in kept), start, budget)


def _area(unbroken: Steps, low: float, high: float, scale: Callable[[float], float]) -> float:
    """The area under the curve between two costs, on the axis that `scale` gives."""
    inner = [cost for cost in unbroken.costs if low < cost < high]
    edges = [low, *inner, high]
    return math.fsum(
        unbroken.at(left) * (scale(right) - scale(left)) for left, right in pairwise(edges)
    )

"""Do two groups of runs differ in what they cost to break? Exact, by exchanging the runs.

With the few runs that a cell has, the asymptotic log-rank p-value is not to be trusted. Here the
statistic is recomputed for every way of splitting the same runs into two groups of these sizes,
or for a seeded draw of the ways where there are too many. The least p that 3 against 3 can give
is 0.10; 4 against 4, 0.029; 5 against 5, 0.008.

It supposes that both groups were followed equally far, as runs to one declared budget are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import cast

import numpy as np
from numpy.typing import NDArray

from holdfast.core import Seed
from holdfast.price.statistics.survival import Passage

EXACT = 20_000
"""Splits up to which every one is looked at."""
DRAWN = 9_999
"""Splits drawn where there are more."""
SLACK = 1e-9
"""Two statistics closer than this are the same one, summed in another order."""


@dataclass(frozen=True)
class LogRank:
    """Two groups compared.

    statistic: above 0 where the first group broke sooner; None where no run of either broke.
    p: two-sided. splits: how many were looked at. exact: all of them.
    """

    statistic: float | None
    p: float
    splits: int
    exact: bool


def permutation_log_rank(
    first: Sequence[Passage],
    second: Sequence[Passage],
    budget: float,
    seed: Seed,
    *,
    exact_up_to: int = EXACT,
) -> LogRank | None:
    """Whether the costs to break of two groups of runs differ; None where a group is empty.

    Breaks stand at their right ends; a run that collapsed is carried unbroken to the budget.
    Where no run of either group broke there is nothing to tell them apart by, and p is 1.

    Args:
        first: runs of one model or attack.
        second: runs of the other.
        budget: the declared budget of both.
        seed: draws the splits where there are too many.
        exact_up_to: splits up to which every one is looked at.

    How:     the statistic is that of scipy.stats.logrank, for all splits at once.
    Paper:   Mantel 1966; Peto and Peto 1972, doi:10.2307/2344317.
    """
    if not first or not second:
        return None
    runs = [*first, *second]
    times = np.array([_time(p, budget) for p in runs])
    broke = np.array([p.at is not None and p.at <= budget for p in runs])
    total = comb(len(runs), len(first))
    exact = total <= exact_up_to
    members = (
        _all_splits(len(runs), len(first))
        if exact
        else _drawn_splits(len(runs), len(first), np.random.default_rng(seed.value))
    )
    if not broke.any():
        return LogRank(None, 1.0, len(members), exact)
    # The split as it was is the first of them in both cases.
    found = log_rank(members, times, broke)
    as_far = np.abs(found) >= abs(found[0]) - SLACK
    return LogRank(float(found[0]), float(as_far.mean()), len(members), exact)


def log_rank(
    members: NDArray[np.bool_], times: NDArray[np.float64], broke: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The standardised log-rank statistic of many splits; 0 where the split leaves no variance.

    Shapes:  members (splits, runs): which runs are in the first group; times, broke (runs,);
        result (splits,).
    """
    events = np.unique(times[broke])
    at_risk = times[:, None] >= events
    everyone = at_risk.sum(axis=0)
    broken = (broke[:, None] & (times[:, None] == events)).sum(axis=0)
    theirs = members @ at_risk.astype(float)
    share = theirs / everyone
    spread = np.where(everyone > 1, (everyone - broken) / np.maximum(everyone - 1, 1), 0.0)
    variance = (share * (1.0 - share) * broken * spread).sum(axis=1)
    excess = members @ broke.astype(float) - (share * broken).sum(axis=1)
    return np.divide(excess, np.sqrt(variance), out=np.zeros_like(excess), where=variance > SLACK)


def holm(pvalues: Sequence[float | None]) -> tuple[float | None, ...]:
    """The p-values of a planned family of comparisons, adjusted; None stays None.

    A comparison that could not be made still counts: the family was fixed beforehand.

    Paper:   Holm 1979, as statsmodels' multipletests computes it.
    """
    if not pvalues:
        return ()
    assert all(p is None or 0 <= p <= 1 for p in pvalues), "p-values from 0 to 1"
    from statsmodels.stats.multitest import multipletests

    family = [1.0 if p is None else p for p in pvalues]
    adjusted = cast("list[float]", multipletests(family, method="holm")[1])
    return tuple(None if p is None else float(a) for p, a in zip(pvalues, adjusted, strict=True))


def _time(one: Passage, budget: float) -> float:
    if one.at is not None:
        return min(one.at, budget)
    return budget if one.collapsed is not None else min(one.bound, budget)


def _all_splits(runs: int, first: int) -> NDArray[np.bool_]:
    chosen = np.array(list(combinations(range(runs), first)))
    members = np.zeros((len(chosen), runs), dtype=bool)
    np.put_along_axis(members, chosen, True, axis=1)
    return members


def _drawn_splits(runs: int, first: int, draw: np.random.Generator) -> NDArray[np.bool_]:
    """The split as it was, which may not be missing, and a draw of others."""
    ranks = draw.random((DRAWN, runs)).argsort(axis=1)
    return np.concatenate([(np.arange(runs) < first)[None], ranks < first])

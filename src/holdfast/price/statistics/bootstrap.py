"""Intervals by resampling: seeds and prompts together for means, runs for mean costs.

Resampling both seeds and prompts gives the shape of a mean's distribution. The width is set to
the standard error of crossed random effects, times a t quantile of as many degrees of freedom as
the seeds and prompts leave: with the 2 to 5 seeds that a cell has, plain percentiles are too
narrow where seeds differ (they held the truth in 79 % of cases with 3 seeds) and too wide where
neither seeds nor prompts do. With 2 seeds it is still too narrow where seeds differ much, since
two of them often look alike by chance. Rates near 0 or 1 want `crossed_rate`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.stats import norm, t

from holdfast.core import Seed
from holdfast.price.statistics.crossed import (
    LEAST,
    Floats,
    Interval,
    Mask,
    Table,
    cluster,
    crossed,
    table,
)
from holdfast.price.statistics.survival import Passage, known_unbroken

RESAMPLES = 1_000
_TAILS = (0.025, 0.975)


def two_way(
    scores: Floats,
    seed: Seed,
    groups: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval | None:
    """The mean over seeds of the mean over prompts, resampling both; None where nothing is known.

    One seed alone says nothing of others: then only prompts are resampled. Where every score is
    the same the interval has no width, and another method must be asked.

    Args:
        scores: (seeds, prompts); NaN where not scored.
        seed: draws the resamples.
        groups: what each prompt is about; prompts of one group are resampled together.
        resamples: how many.
        bounds: what no mean can be beyond.

    Paper:   Owen 2007, doi:10.1214/07-AOAS122; standard error of two crossed factors as in
        Cameron, Gelbach and Miller 2011, doi:10.1198/jbes.2010.07136; degrees of freedom
        Satterthwaite 1946.
    Differs: the spread of the resamples is scaled to that error, as the module says.
    """
    return two_way_curve(scores[:, None, :], seed, groups, resamples=resamples, bounds=bounds)[0]


def two_way_curve(
    scores: Floats,
    seed: Seed,
    groups: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[Interval | None, ...]:
    """The same at each reading of a curve, the same seeds and prompts drawn for all of them.

    Args:
        scores: (seeds, readings, prompts); NaN where not scored.
        seed: draws the resamples.
        groups: what each prompt is about.
        resamples: how many.
        bounds: what no mean can be beyond.
    """
    clusters = cluster(scores.shape[2], groups)
    rows = _drawn(scores.shape[0], resamples, seed.fork("seeds").value)
    columns = _drawn(clusters.shape[1], resamples, seed.fork("prompts").value)
    found: list[Interval | None] = []
    for reading in range(scores.shape[1]):
        one, kept, used = table(scores[:, reading, :], clusters)
        if not one.sums.size:
            found.append(None)
            continue
        draws = _resampled(one, rows[:, kept], columns[:, used])
        found.append(_interval([one], [1.0], draws, bounds))
    return tuple(found)


def two_way_difference(
    first: Floats,
    second: Floats,
    seed: Seed,
    groups: Sequence[str] | None = None,
    *,
    resamples: int = RESAMPLES,
) -> Interval | None:
    """The mean of `first` less that of `second` on the same prompts, which pairs them.

    Seeds are drawn for each model apart, prompts for both together. Prompts that were scored for
    one model alone are left out.

    Args:
        first: (seeds, prompts) of one model; NaN where not scored.
        second: (seeds, prompts) of the other, the prompts in the same order.
        seed: draws the resamples.
        groups: what each prompt is about.
        resamples: how many.
    """
    assert first.shape[1] == second.shape[1], "two models that were asked the same prompts"
    asked = np.isfinite(first).any(axis=0) & np.isfinite(second).any(axis=0)
    both: Mask = np.asarray(asked, dtype=bool)
    clusters = cluster(first.shape[1], groups) * both[:, None]
    columns = _drawn(clusters.shape[1], resamples, seed.fork("prompts").value)
    tables: list[Table] = []
    draws = np.zeros(resamples)
    for sign, name, scores in ((1.0, "first", first), (-1.0, "second", second)):
        one, kept, used = table(np.where(both, scores, np.nan), clusters)
        if not one.sums.size:
            return None
        rows = _drawn(scores.shape[0], resamples, seed.fork(name).value)
        draws += sign * _resampled(one, rows[:, kept], columns[:, used])
        tables.append(one)
    return _interval(tables, [1.0, -1.0], draws, (-1.0, 1.0))


def restricted_mean_interval(
    passages: Sequence[Passage],
    budget: float,
    seed: Seed,
    least: float | None = None,
    *,
    resamples: int = 4_000,
) -> tuple[float, float]:
    """The 95 % interval of the restricted mean cost, or with `least` of its log version.

    Args:
        passages: the runs.
        budget: the declared budget.
        seed: draws the weights.
        least: what a run costs at the least, for the log version.
        resamples: how many.

    How:     weights are drawn for the runs, for half a run that broke at once and for half a run
        that never broke. Breaks stand at their left ends for the low end and at their right ends
        for the high. Of costs that are nothing or the budget this is Jeffreys' interval.
    Paper:   Rubin 1981, doi:10.1214/aos/1176345338; a whole run at the bound, for a guarantee
        that is conjectured: Learned-Miller and Thomas 2019, arXiv:1905.06208.
    Differs: the bounds weigh half a run each, as in Jeffreys' prior; with whole ones the interval
        held the truth in 98 to 100 % of cases. From five runs on this one does in 92 % and more,
        with three in 89 % where most do not break, and then it lies below the truth: it does not
        make breaking look dear. A t interval, on costs or on their logarithms, and a percentile
        bootstrap hold it in 60 to 85 % there.
    """
    if budget <= (least or 0.0):
        return budget, budget
    low = [least or 0.0, budget, *(known_unbroken(one, budget) for one in passages)]
    high = [least or 0.0, budget]
    high += [p.at if p.at is not None and p.at <= budget else budget for p in passages]
    ends = np.array([low, high])
    if least is not None:
        ends = np.log(np.maximum(ends, least))
    weights = np.random.default_rng(seed.value).dirichlet(
        [0.5, 0.5, *(1.0 for _ in passages)], size=resamples
    )
    found = [
        float(np.quantile(weights @ values, tail))
        for values, tail in zip(ends, _TAILS, strict=True)
    ]
    bottom, top = (math.exp(x) for x in found) if least is not None else found
    return bottom, min(top, budget)


@lru_cache(maxsize=16)
def _drawn(units: int, resamples: int, seed: int) -> Floats:
    """How often each unit is drawn (resamples, units), drawing as many as there are."""
    draw = np.random.default_rng(seed)
    drawn = draw.multinomial(units, np.full(units, 1.0 / units), size=resamples).astype(float)
    drawn.setflags(write=False)
    return drawn


def _resampled(one: Table, rows: Floats, columns: Floats) -> Floats:
    """The mean of each resample; NaN where none of what was drawn was scored."""
    means = one.weighted(columns)
    weights = np.where(np.isfinite(means), rows, 0.0)
    total = weights.sum(axis=1)
    return np.divide(
        (weights * np.nan_to_num(means)).sum(axis=1),
        total,
        out=np.full(len(total), np.nan),
        where=total > 0,
    )


def _interval(
    tables: Sequence[Table], signs: Sequence[float], draws: Floats, bounds: tuple[float, float]
) -> Interval | None:
    """The resamples' quantiles, moved away from the mean until their spread is the right one."""
    mean = math.fsum(s * float(one.means.mean()) for s, one in zip(signs, tables, strict=True))
    found = crossed(tables, signs)
    if found is None:
        return None
    draws = draws[np.isfinite(draws)]
    spread = float(draws.std())
    # Differences of rounding are not a spread.
    if found.variance < LEAST or spread < 1e-9:
        return Interval(mean, mean, mean)
    wider = float(t.ppf(_TAILS[1], found.freedom) / norm.ppf(_TAILS[1]))
    wider *= math.sqrt(found.variance) / spread
    low, high = (mean + (float(np.quantile(draws, tail)) - mean) * wider for tail in _TAILS)
    return Interval(mean, max(bounds[0], min(low, mean)), min(bounds[1], max(high, mean)))

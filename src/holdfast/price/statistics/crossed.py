"""Rates over seeds and prompts: what seeds add to their error, what prompts add, what is left.

Other seeds would have attacked otherwise, and other prompts would have been answered otherwise.
The two are crossed, every seed being asked every prompt, so the variance of a mean is that
between seeds over the number of seeds, that between prompts over the number of prompts, and the
rest over the number of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST = 1e-18
"""A variance below this is a difference of rounding."""


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Table:
    """Scores of one model by seed and by group of prompts: their sums and how many there are.

    Shapes:  sums, counts (seeds, groups); sums is 0 where nothing was scored.
    """

    sums: Floats
    counts: Floats

    @property
    def means(self) -> Floats:
        """Each seed's mean over its prompts."""
        return self.sums.sum(axis=1) / self.counts.sum(axis=1)

    def weighted(self, weights: Floats) -> Floats:
        """Each seed's mean with the groups so weighted (resamples, groups): (resamples, seeds).

        A seed of which nothing was drawn is NaN.
        """
        drawn = weights @ self.counts.T
        nothing = np.full(drawn.shape, np.nan)
        return np.divide(weights @ self.sums.T, drawn, out=nothing, where=drawn > 0)


@dataclass(frozen=True)
class Spread:
    """The variance of a mean, and as how many independent seeds or prompts say so, less one."""

    variance: float
    freedom: float


def crossed_rate(scores: Floats, groups: Sequence[str] | None = None) -> Interval | None:
    """The mean over seeds of the mean over prompts of scores in [0, 1].

    None where nothing is known of other prompts, or where every score is the same, which says
    nothing of others: another method must be asked then. One seed alone says nothing of other
    seeds: the interval covers prompts only.

    Args:
        scores: (seeds, prompts); NaN where not scored.
        groups: what each prompt is about; prompts of one group are taken to go together.

    How:     Wilson's interval with as many prompts as would give a proportion the variance of
        crossed effects, and a t quantile instead of a normal one.
    Paper:   variance of two crossed factors as in Cameron, Gelbach and Miller 2011,
        doi:10.1198/jbes.2010.07136; degrees of freedom: Satterthwaite 1946; effective number of
        prompts: Korn and Graubard 1998.
    Differs: no component is below 0; Wilson's interval instead of Clopper and Pearson's. With 3
        and 5 seeds it held the truth in 93 to 98 % of cases, rates of 0.02 and 0.98 included;
        the percentiles of a two-way bootstrap in 79 to 100 %. With 2 seeds that differ much: 86.
    """
    return crossed_rates(scores[:, None, :], groups)[0]


def crossed_rates(
    scores: Floats, groups: Sequence[str] | None = None
) -> tuple[Interval | None, ...]:
    """The same at each reading of a curve.

    Args:
        scores: (seeds, readings, prompts); NaN where not scored.
        groups: what each prompt is about.
    """
    clusters = cluster(scores.shape[2], groups)
    return tuple(_rate(table(scores[:, k], clusters)[0]) for k in range(scores.shape[1]))


def cluster(prompts: int, groups: Sequence[str] | None) -> Floats:
    """Which group each prompt is of, as ones and zeros (prompts, groups)."""
    if groups is None:
        return np.eye(prompts)
    assert len(groups) == prompts, "a group for every prompt"
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    return np.eye(len(names))[which]


def table(scores: Floats, clusters: Floats) -> tuple[Table, Mask, Mask]:
    """Sums and counts, and which seeds and which groups they are of: those that have any."""
    known = np.isfinite(scores)
    sums = np.where(known, scores, 0.0) @ clusters
    counts = known.astype(float) @ clusters
    kept, used = counts.sum(axis=1) > 0, counts.sum(axis=0) > 0
    return Table(sums[kept][:, used], counts[kept][:, used]), kept, used


def crossed(tables: Sequence[Table], signs: Sequence[float]) -> Spread | None:
    """The variance of a signed sum of means over the same prompts; None with fewer than two groups.

    What seeds add, what prompts add and what is left are estimated apart, and none below 0.
    """
    groups = tables[0].sums.shape[1]
    if groups < 2:
        return None
    rest, seeds, squares = 0.0, 0.0, 0.0
    together = np.zeros(groups)
    for sign, one in zip(signs, tables, strict=True):
        n = len(one.sums)
        means = one.means
        pull = (one.sums - means[:, None] * one.counts) / (n * one.counts.sum(axis=1)[:, None])
        column = pull.sum(axis=0)
        together += sign * column
        if n < 2:
            continue
        left = float(((pull - column / n) ** 2).sum()) * n * groups / ((n - 1) * (groups - 1))
        between = float(means.var(ddof=1)) / n
        rest += left
        if between > left * (1 + 1e-9):  # rounding must not decide
            seeds += between - left
            squares += between**2 / (n - 1)
    columns = groups / (groups - 1) * float((together**2).sum())
    variance = rest + seeds + max(columns - rest, 0.0)
    squares += max(columns, rest) ** 2 / (groups - 1)
    return Spread(variance, max(1.0, variance**2 / squares if squares > 0 else 1.0))


def _rate(one: Table) -> Interval | None:
    spread = crossed([one], [1.0]) if one.sums.size else None
    if spread is None or spread.variance < LEAST:
        return None
    mean = float(one.means.mean())
    within = max(mean * (1.0 - mean), 0.0)
    if not within:  # only rounding keeps such scores from being all alike
        return None
    squared = float(t.ppf(0.975, spread.freedom)) ** 2 * spread.variance / within
    centre = (mean + squared / 2) / (1 + squared)
    half = math.sqrt(squared * (within + squared / 4)) / (1 + squared)
    return Interval(mean, max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half)))

"""Shares of few runs, exactly: Clopper-Pearson limits, and which runs bound a quantile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import beta, binom

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Proportion:
    """A share of runs with its 95 % interval, and how many runs there were."""

    share: float
    low: float
    high: float
    runs: int


def clopper_pearson(successes: int, n: int, confidence: float = CONFIDENCE) -> Proportion:
    """The exact interval of a share: never too narrow, at 0 and at n of n too.

    Paper:   Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    assert 0 <= successes <= n >= 1, "one run or more, and no more successes than runs"
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, successes, n - successes + 1)) if successes else 0.0
    return Proportion(successes / n, low, upper_bound(successes, n, 1 - tail), n)


def upper_bound(successes: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The largest share that `successes` of `n` leave possible, one-sided."""
    assert 0 <= successes <= n >= 1, "one run or more, and no more successes than runs"
    return float(beta.ppf(confidence, successes + 1, n - successes)) if successes < n else 1.0


def clean_runs_needed(share: float, confidence: float = CONFIDENCE) -> int:
    """How many runs without a break it takes to say that fewer than `share` of them break."""
    assert 0 < share < 1, "a share between 0 and 1"
    return math.ceil(math.log(1 - confidence) / math.log(1 - share))


@lru_cache(maxsize=256)
def quantile_ranks(
    n: int, q: float, confidence: float = CONFIDENCE
) -> tuple[int | None, int | None]:
    """Which of `n` ordered runs, counted from 1, bound the q-quantile of all runs.

    None on a side where no run does: five runs are the fewest that bound a median on both.

    How:     of n runs, the number that lie below the quantile is binomial(n, q), whatever the
        distribution of costs; the ranks are those that this leaves out, half of the probability
        of a rank itself counted (mid-p). Whole counts without it need six runs for a median.
    Paper:   Thompson 1936, doi:10.1214/aoms/1177732502; mid-p: Lancaster 1961.
    """
    tail = (1 - confidence) / 2
    chance = binom.pmf(np.arange(n + 1), n, q)
    below = np.cumsum(chance) - chance / 2  # P(fewer) + P(as many) / 2
    above = 1.0 - below
    low = [rank for rank in range(1, n + 1) if below[rank - 1] <= tail]
    high = [rank for rank in range(1, n + 1) if above[rank] <= tail]
    return max(low, default=None), min(high, default=None)

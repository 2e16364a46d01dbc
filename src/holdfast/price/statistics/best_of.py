"""What a random search costs and finds: draws until a break, and the best of so many draws.

All of it assumes draws that could as well have come in any other order, as those of a random
search or a shuffled grid. Trials that a model proposed from earlier ones are not like that: of
them a whole study is one observation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.stats import hypergeom


def break_within(trials: int, broken: int, k: int) -> float:
    """The probability that at least one of k draws breaks: 1 - C(n - s, k) / C(n, k).

    How:     k of the n observed trials are drawn without replacement; that is unbiased for the
             probability that k fresh draws hold a break, for every k up to n.

    Args:
        trials: n, those that were run.
        broken: s, those of them that broke.
        k: draws, from 1 to n.
    """
    assert 0 <= broken <= trials, "no more breaks than trials"
    assert 1 <= k <= trials, "from 1 draw to as many as there were trials"
    return float(hypergeom.sf(0, trials, broken, k))


def expected_draws(trials: int, broken: int) -> float | None:
    """Draws up to and with the first break, in random order: (n + 1) / (s + 1).

    None where nothing broke: however many were drawn, there was no break to come to.
    """
    return (trials + 1) / (broken + 1) if broken else None


def most_rate(trials: int, confidence: float = 0.95) -> float:
    """The largest rate of success at which n failures out of n are not yet unlikely.

    How:     (1 - q)^n = 1 - confidence, so q = 1 - 0.05^(1/n) at 95 %.
    """
    return 1.0 - (1.0 - confidence) ** (1.0 / trials)


def search_cost(failed: float, success: float, rate: float) -> float:
    """The expected cost of drawing until one breaks: c_f (1 - q) / q + c_s.

    Args:
        failed: c_f, the mean cost of a draw that does not break.
        success: c_s, the mean cost of one that does.
        rate: q, the share of draws that break, above 0.
    """
    assert 0 < rate <= 1, "a rate at which nothing breaks has no expected cost"
    return failed * (1 - rate) / rate + success


def expected_best(scores: Sequence[float], k: int) -> float:
    """The expected best of k draws: the sum over i of v_(i) C(i - 1, k - 1) / C(n, k).

    How:     the mean, over all choices of k of the observed scores, of the best of them.
    Paper:   arXiv:2004.13705, which prefers it to the estimator of arXiv:1909.03004.

    Args:
        scores: one for each trial; more is better.
        k: draws, from 1 to as many as there are scores.
    """
    n = len(scores)
    assert 1 <= k <= n, "from 1 draw to as many as there were trials"
    ways = math.comb(n, k)  # whole numbers of any size: their ratio is exact to rounding
    weights = (math.comb(i, k - 1) / ways for i in range(n))
    return math.fsum(w * v for w, v in zip(weights, sorted(scores), strict=True))

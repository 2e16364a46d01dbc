"""What a comparison of this size can see: differences smaller than these it will often miss.

At 80 % power, two-sided 5 %, unless asked otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import nctdtr, nctdtrinc
from scipy.stats import norm, t

ALPHA, POWER = 0.05, 0.8
LEAST_RUNS = 4
"""With fewer in each group no permutation test reaches 5 %, however far apart they are."""


def prompts_needed(
    first: float, second: float, *, power: float = POWER, alpha: float = ALPHA
) -> int:
    """Prompts for each of two models, asked different ones, to tell these two rates apart."""
    assert 0 <= first <= 1 and 0 <= second <= 1, "shares from 0 to 1"
    assert first != second, "two different rates"
    from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

    return math.ceil(
        samplesize_proportions_2indep_onetail(first - second, second, power, alpha=alpha)
    )


def pairs_needed(
    difference: float, discordant: float, *, power: float = POWER, alpha: float = ALPHA
) -> int:
    """Prompts asked of both models to see `difference`, where a share `discordant` disagrees.

    Paper:   Connor 1987, doi:10.2307/2531961: McNemar's test.
    """
    assert 0 < difference <= discordant <= 1, "no more difference than disagreement"
    null = _z(1 - alpha / 2) * math.sqrt(discordant)
    actual = _z(power) * math.sqrt(discordant - difference**2)
    return math.ceil((null + actual) ** 2 / difference**2)


def detectable_difference(
    prompts: float, base: float = 0.5, *, power: float = POWER, alpha: float = ALPHA
) -> float | None:
    """The least difference from `base` that two models asked different prompts show.

    None where even the largest would be missed. The direction with more room is taken.
    """
    assert 0 <= base <= 1, "a share from 0 to 1"
    room = max(base, 1 - base)
    sign = 1.0 if base <= 0.5 else -1.0
    z = _z(1 - alpha / 2), _z(power)

    def lacking(difference: float) -> float:
        other = base + sign * difference
        pooled = (base + other) / 2
        null = math.sqrt(2 * pooled * (1 - pooled))
        actual = math.sqrt(base * (1 - base) + other * (1 - other))
        return difference * math.sqrt(prompts) - z[0] * null - z[1] * actual

    return _least(lacking, room) if prompts >= 1 else None


def detectable_paired(
    prompts: float, discordant: float = 0.2, *, power: float = POWER, alpha: float = ALPHA
) -> float | None:
    """The least difference that two models asked the same prompts show; None if none does.

    Args:
        prompts: asked of both.
        discordant: the share on which the two disagree, at the least: a difference above it
            takes as much disagreement itself.
        power: how often it is to be seen.
        alpha: how often one is to be seen where there is none.
    """
    assert 0 <= discordant <= 1, "a share from 0 to 1"

    def lacking(difference: float) -> float:
        apart = max(discordant, difference)
        null = _z(1 - alpha / 2) * math.sqrt(apart)
        actual = _z(power) * math.sqrt(max(apart - difference**2, 0.0))
        return difference * math.sqrt(prompts) - null - actual

    return _least(lacking, 1.0) if prompts >= 1 else None


def design_effect(scores: NDArray[np.float64], groups: Sequence[str]) -> float:
    """How many times more prompts are needed since prompts of one group go together; 1 or more.

    How:     the variance of a mean over prompts when groups are drawn, over that when prompts
        are, both summed over the rows of `scores`.
    Shapes:  scores (runs, prompts), NaN where not scored.
    Paper:   Kish 1965; measured, not from an intraclass correlation.
    """
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return 1.0
    together = alone = 0.0
    for row in scores:
        known = np.isfinite(row)
        n = int(known.sum())
        if n < 2:
            continue
        off = np.where(known, row - row[known].mean(), 0.0)
        by_group = np.bincount(which, weights=off)
        drawn = len(np.unique(which[known]))
        together += float((by_group**2).sum()) * drawn / max(drawn - 1, 1)
        alone += float((off**2).sum()) * n / (n - 1)
    return max(1.0, together / alone) if alone > 0 else 1.0


def detectable_with_seeds(
    prompts_error: float, seeds: int, seed_sd: float, *, power: float = POWER, alpha: float = ALPHA
) -> float | None:
    """The least difference between two means of `seeds` runs each, on their scale.

    The variance of one mean is prompts_error^2 + seed_sd^2 / seeds. None for fewer than two
    seeds, which say nothing of how far others would differ.

    Args:
        prompts_error: one mean's standard error over prompts.
        seeds: of each model.
        seed_sd: the standard deviation between seeds.
        power: how often it is to be seen.
        alpha: how often one is to be seen where there is none.
    """
    if seeds < 2:
        return None
    between = 2 * seed_sd**2 / seeds
    variance = 2 * prompts_error**2 + between
    if variance <= 0:
        return 0.0
    # Satterthwaite: the prompts' share of the variance is as good as known, the seeds' is not.
    freedom = 2 * (seeds - 1) * (variance / between) ** 2 if between > 0 else math.inf
    return _noncentrality(min(freedom, 1e6), power, alpha) * math.sqrt(variance)


def detectable_fold(
    runs: int, log_sd: float, *, power: float = POWER, alpha: float = ALPHA
) -> float | None:
    """How many times dearer one model must be to break for `runs` against `runs` to show it.

    None for fewer than four runs a side, of which no permutation test can make anything.

    Args:
        runs: of each model.
        log_sd: the standard deviation of the natural logarithm of cost between runs.
        power: how often it is to be seen.
        alpha: how often one is to be seen where there is none.
    """
    if runs < LEAST_RUNS:
        return None
    assert math.isfinite(log_sd) and log_sd >= 0, "a standard deviation"
    size = _noncentrality(2 * (runs - 1), power, alpha) * math.sqrt(2 / runs)
    return math.exp(size * log_sd)


def fold_power(runs: int, fold: float, log_sd: float, *, alpha: float = ALPHA) -> float:
    """How often `runs` against `runs` show that one model costs `fold` times the other."""
    freedom = 2 * (runs - 1)
    far = math.log(fold) / (log_sd * math.sqrt(2 / runs))
    edge = float(t.ppf(1 - alpha / 2, freedom))
    return float(1 - nctdtr(freedom, far, edge) + nctdtr(freedom, far, -edge))


def _noncentrality(freedom: float, power: float, alpha: float) -> float:
    """How many standard errors apart two means must be for a t test to see them so often.

    By the near tail: the far one adds less than a millionth.
    """
    return float(nctdtrinc(freedom, 1 - power, t.ppf(1 - alpha / 2, freedom)))


def _z(share: float) -> float:
    return float(norm.ppf(share))


def _least(lacking: Callable[[float], float], most: float) -> float | None:
    """Where `lacking` turns from too little to enough, up to `most`."""
    return float(cast("float", brentq(lacking, 1e-12, most))) if lacking(most) >= 0 else None

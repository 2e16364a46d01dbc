"""Intervals for rates: Wilson over prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import norm

from holdfast.core import Reading
from holdfast.price.curves import mean_of, scored, scores_of

COVERS = (
    "Intervals are 95 % Wilson intervals over prompts, around the mean over seeds. For graded "
    "scores they are wider than they need be, since a mean of values in [0, 1] varies at most as "
    "much as a proportion. They do not cover differences between seeds, nor that prompts about "
    "one subject go together, nor the choice of the prompts' domain."
)


@dataclass(frozen=True)
class Rate:
    """A mean of scores in [0, 1], its 95 % interval, and over how many prompts it was taken."""

    mean: float
    low: float
    high: float
    prompts: int


def wilson(mean: float, prompts: int, confidence: float = 0.95) -> Rate:
    """The Wilson score interval of a mean of scores in [0, 1] over `prompts` prompts.

    Paper:   Wilson 1927, doi:10.1080/01621459.1927.10502953.
    Differs: the mean need not be a whole number of successes.
    """
    z = float(norm.ppf(0.5 + confidence / 2))
    spread = z * z / prompts
    variance = max(0.0, mean * (1 - mean)) / prompts
    centre = (mean + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(variance + spread / (4 * prompts))
    # At a mean of 0 or 1 the end of the interval is that value; rounding may miss it.
    low, high = min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half))
    return Rate(mean, low, high, prompts)


def rate(
    readings: Sequence[Reading], split: str, measure: str, *, complement: bool = False
) -> Rate | None:
    """The mean over readings (one a seed) of the mean over prompts; None where unscored.

    complement: of one minus the score.
    """
    means = [m for r in readings if (m := mean_of(r, split, measure)) is not None]
    if not means:
        return None
    mean = math.fsum(means) / len(means)
    prompts = (len(scored(scores_of(r, split, measure))) for r in readings)
    return wilson(1.0 - mean if complement else mean, min(n for n in prompts if n))

"""Intervals for rates: over seeds and prompts, which are crossed, or over prompts alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from holdfast.core import Reading
from holdfast.price.curves import mean_of, scored, scores_of
from holdfast.price.statistics.crossed import crossed_rate

COVERS = (
    "Intervals are 95 % intervals. Those of rates over two and more seeds cover differences "
    "between seeds and between prompts, prompts about one subject taken together; with two seeds "
    "they are too narrow where seeds differ much. Those of a single seed, of untouched models and "
    "of rates that are the same for every seed and prompt are Wilson intervals over prompts, as "
    "if each were about a subject of its own. Those of costs are over runs and suppose nothing of "
    "how costs are distributed: fewer than five runs bound no median. They do not cover the "
    "choice of the prompts' domain."
)


@dataclass(frozen=True)
class Rate:
    """A mean of scores in [0, 1], its 95 % interval, and over how many prompts it was taken.

    seeds: over how many seeds. method: "wilson" over prompts, or "crossed" over seeds and prompts.
    """

    mean: float
    low: float
    high: float
    prompts: int
    seeds: int = 1
    method: Literal["wilson", "crossed"] = "wilson"


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
    readings: Sequence[Reading],
    split: str,
    measure: str,
    *,
    complement: bool = False,
    groups: Sequence[str] | None = None,
) -> Rate | None:
    """The mean over readings (one a seed) of the mean over prompts; None where unscored.

    Args:
        readings: one for each seed.
        split: whose prompts.
        measure: what was scored.
        complement: of one minus the score.
        groups: what each prompt is about; those of one group go together.
    """
    means = [m for r in readings if (m := mean_of(r, split, measure)) is not None]
    if not means:
        return None
    mean = math.fsum(means) / len(means)
    counts = (len(scored(scores_of(r, split, measure))) for r in readings)
    prompts = min(n for n in counts if n)
    over_prompts = replace(wilson(mean, prompts), seeds=len(means))
    found = _crossed(readings, split, measure, groups) if len(means) > 1 else None
    both = found if found is not None else over_prompts
    return _complement(both) if complement else both


def matrix(readings: Sequence[Reading], split: str, measure: str) -> NDArray[np.float64] | None:
    """Scores (readings, prompts), NaN where a prompt was not scored; None where none was.

    Readings that were not scored at all are left out.
    """
    rows = [scores for r in readings if (scores := scores_of(r, split, measure))]
    if not rows or len({len(row) for row in rows}) > 1:
        return None
    found = np.array(rows, dtype=float)
    found[~np.isfinite(found)] = np.nan
    known = np.isfinite(found).any(axis=1)
    return found[known] if known.any() else None


def _crossed(
    readings: Sequence[Reading], split: str, measure: str, groups: Sequence[str] | None
) -> Rate | None:
    """Over seeds and prompts; None where every score is the same, which says nothing of others."""
    scores = matrix(readings, split, measure)
    if scores is None or len(scores) < 2:
        return None
    own = groups if groups is not None and len(groups) == scores.shape[1] else None
    found = crossed_rate(scores, own)
    if found is None:
        return None
    prompts = int(np.isfinite(scores).sum(axis=1).min())
    return Rate(found.mean, found.low, found.high, prompts, len(scores), "crossed")


def _complement(one: Rate) -> Rate:
    return replace(one, mean=1.0 - one.mean, low=1.0 - one.high, high=1.0 - one.low)

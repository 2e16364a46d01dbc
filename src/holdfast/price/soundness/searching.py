"""Whether an attack's settings were searched for long enough, as far as its draws show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from holdfast.price.audit import AttackPrice


@dataclass(frozen=True)
class Levelling:
    """What the last third of the settings added to the expected best of so many.

    gain: of harm on `search`. reached: that is less than one standard error of a setting's harm;
    both None with fewer than three settings, of which there is no third.
    """

    gain: float | None
    reached: bool | None


def levelling(attack: AttackPrice, prompts: int) -> Levelling | None:
    """Whether trying more settings still paid at the end; None without prompts on `search`.

    Args:
        attack: with every setting that was tried.
        prompts: on `search`.

    How:     one standard error of a setting's harm is that of a share of so many prompts, at the
        harm of the best. It is the two ends of `statistics.plateau.plateau`, by logarithms of the
        gamma function, since there may be thousands of settings.
    """
    harms = [s.harm for s in attack.settings_tried]
    if not harms or prompts < 1:
        return None
    if len(harms) < 3:
        return Levelling(None, None)
    best = max(harms)
    error = math.sqrt(max(0.0, best * (1 - best)) / prompts)
    gain = best - expected_best(harms, math.ceil(2 * len(harms) / 3))
    return Levelling(gain, gain < error or gain <= 1e-9)


def expected_best(scores: Sequence[float], k: int) -> float:
    """The mean, over all choices of k of `scores`, of the best of them."""
    n = len(scores)
    ranks = np.arange(k, n + 1)
    # Of all choices of k, the share whose best is among the lowest i.
    below = np.exp(
        gammaln(ranks + 1) - gammaln(ranks - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    )
    weights = np.diff(below, prepend=0.0)
    return float(weights @ np.sort(np.asarray(scores, dtype=float))[k - 1 :])

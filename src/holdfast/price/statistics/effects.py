"""Effects with their limits: shares of runs, ratios of two costs, what a threshold makes of them.

An end that is None is open: nothing bounds the effect on that side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.price.statistics.proportions import clopper_pearson

CONFIDENCE = 0.95
_MOST = 10_000  # runs beyond which no design is looked for


@dataclass(frozen=True)
class Effect:
    """An estimate with its 95 % interval. more: the truth is above `value`, which is a bound."""

    value: float
    low: float | None
    high: float | None
    more: bool = False

    def above(self, threshold: float) -> bool:
        """Whether all of the interval is at the threshold or above."""
        return self.low is not None and self.low >= threshold

    def below(self, threshold: float) -> bool:
        """Whether all of it is at the threshold or below."""
        return self.high is not None and self.high <= threshold


def share(successes: int, n: int) -> Effect:
    """A share of runs by the exact limits, as reports state a break probability.

    None or all of five leave a half possible; six do not.
    """
    found = clopper_pearson(successes, n)
    return Effect(found.share, found.low, found.high)


def share_difference(first: tuple[int, int], second: tuple[int, int]) -> Effect:
    """One share of runs less another, each as (successes, runs).

    Paper:   Newcombe 1998, as statsmodels' confint_proportions_2indep computes it.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        *first, *second, method="newcomb", compare="diff", alpha=1 - CONFIDENCE
    )
    value = first[0] / first[1] - second[0] / second[1]
    return Effect(value, max(-1.0, float(low)), min(1.0, float(high)))


@dataclass(frozen=True)
class Cost:
    """A median cost. value: a bound where `more`. low, high: its 95 % interval; None: open."""

    value: float
    low: float | None
    high: float | None
    more: bool = False


def ratio(over: Cost, under: Cost) -> Effect | None:
    """One median cost over another; None where the one below is itself only a bound.

    How:     limits of a difference of logarithms from those of its parts (MOVER). Where the cost
        above is only a bound, so is the ratio: its low end is then taken from the bound's.
    Paper:   Zou and Donner 2008, doi:10.1002/sim.3095.
    """
    if under.more or under.value <= 0 or over.value <= 0:
        return None
    value = over.value / under.value
    low = None
    if over.low and under.high is not None:
        down = math.log((over.low if over.more else over.value) / over.low)
        reach = math.hypot(down, math.log(under.high / under.value))
        low = (over.low if over.more else over.value) / under.value * math.exp(-reach)
    high = None
    if over.high is not None and under.low and not over.more:
        reach = math.hypot(math.log(over.high / over.value), math.log(under.value / under.low))
        high = value * math.exp(reach)
    return Effect(value, low, high, over.more)


def envelope(effects: Sequence[Effect]) -> Effect:
    """The effect on several models: the mean, with an interval that holds all of theirs.

    All of it is beyond a threshold only where every model's is: they must agree.
    """
    assert effects, "at least one effect"
    lows, highs = [e.low for e in effects], [e.high for e in effects]
    known_lows = [low for low in lows if low is not None]
    known_highs = [high for high in highs if high is not None]
    return Effect(
        value=math.fsum(e.value for e in effects) / len(effects),
        low=min(known_lows) if len(known_lows) == len(lows) else None,
        high=max(known_highs) if len(known_highs) == len(highs) else None,
        more=any(e.more for e in effects),
    )


def runs_needed(successes: int, n: int, threshold: float) -> int | None:
    """Runs at which the same share would be told from `threshold`; None where it never would."""
    observed = successes / n
    if observed == threshold:
        return None
    runs = n
    while runs <= _MOST:
        effect = share(round(observed * runs), runs)
        if effect.above(threshold) or effect.below(threshold):
            return runs
        runs += max(1, runs // 20)
    return None


def units_needed(effect: Effect, n: int, threshold: float) -> int | None:
    """Units at which an interval that narrows as their root would leave `threshold` out.

    None where the estimate is at the threshold, or nothing bounds it on that side.
    """
    end = effect.low if effect.value > threshold else effect.high
    gap = abs(effect.value - threshold)
    if end is None or gap == 0 or effect.more:
        return None
    needed = n * (abs(effect.value - end) / gap) ** 2
    return max(n + 1, math.ceil(needed - 1e-9)) if needed < _MOST else None

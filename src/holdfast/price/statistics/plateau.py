"""Whether a search was long enough, or trying more settings still paid at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.price.statistics.best_of import expected_best


@dataclass(frozen=True)
class Plateau:
    """The expected best of 1, 2, ... n draws, and what the last third of them added.

    curve: the expected best, one for each number of draws. gain: what the last third added.
    error: one standard error of a draw's score. reached: the gain is less than that; None with
        fewer than three draws, of which there is no third.
    """

    curve: tuple[float, ...]
    gain: float | None
    error: float
    reached: bool | None


def plateau(scores: Sequence[float], error: float) -> Plateau:
    """Whether the expected best gained less than `error` over the last third of the draws.

    Where it did not, the attacker was under-tuned, and resistance is overstated. The expected
    best is that of exchangeable draws: of a search that learns it says little.

    Args:
        scores: one for each draw, in any order; more is better.
        error: one standard error of a draw's score.
    """
    n = len(scores)
    assert n, "a search of at least one draw"
    assert error >= 0, "an error is no less than 0"
    curve = tuple(expected_best(scores, k) for k in range(1, n + 1))
    if n < 3:
        return Plateau(curve, None, error, None)
    gain = curve[-1] - curve[math.ceil(2 * n / 3) - 1]
    # Equal scores gain nothing, though their error may be 0 too; rounding is no gain.
    return Plateau(curve, gain, error, gain < error or gain <= 1e-12)

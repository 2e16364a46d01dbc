"""Shares, ratios and what a threshold makes of them: by hand, in the limits, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from holdfast.price.statistics.effects import (
    Cost,
    Effect,
    envelope,
    ratio,
    runs_needed,
    share,
    share_difference,
    units_needed,
)


def test_all_of_six_say_more_than_half_by_hand() -> None:
    # p^n = 0.025
    assert share(6, 6).low == pytest.approx(0.025 ** (1 / 6))
    assert share(0, 6).high == pytest.approx(1 - 0.025 ** (1 / 6))
    assert (share(6, 6).high, share(0, 6).low) == (1.0, 0.0)
    assert share(6, 6).above(0.5) and not share(5, 5).above(0.5)


@pytest.mark.parametrize(("k", "n"), [(1, 5), (3, 7), (9, 10), (40, 100)])
def test_its_ends_leave_out_a_fortieth_on_either_side(k: int, n: int) -> None:
    found = share(k, n)
    assert binom.sf(k - 1, n, found.low) == pytest.approx(0.025)
    assert binom.cdf(k, n, found.high) == pytest.approx(0.025)


def test_shares_mirror() -> None:
    ours, other = share(2, 9), share(7, 9)
    assert (ours.low, ours.high) == pytest.approx((1 - other.high, 1 - other.low))


def test_a_difference_of_shares_by_hand() -> None:
    # Newcombe from Wilson's limits of 5/5 (0.5655) and 0/5 (0.4345)
    found = share_difference((5, 5), (0, 5))
    assert found.value == 1.0
    assert found.low == pytest.approx(1 - math.hypot(1 - 0.5655, 0.4345), abs=1e-3)
    assert found.high == 1.0


def test_a_ratio_of_known_costs_by_hand() -> None:
    found = ratio(Cost(8, 4, 16), Cost(2, 1, 4))
    reach = math.exp(math.hypot(math.log(2), math.log(2)))
    assert (found.value, found.more) == (4.0, False)
    assert (found.low, found.high) == pytest.approx((4 / reach, 4 * reach))


def test_a_ratio_to_itself_holds_one() -> None:
    found = ratio(Cost(3, 2, 5), Cost(3, 2, 5))
    assert found.low < 1 < found.high
    assert found.low == pytest.approx(1 / found.high)


def test_an_unbroken_model_gives_a_bound_whose_low_end_is_from_its_own() -> None:
    found = ratio(Cost(64, 64, None, more=True), Cost(2, 1, 4))
    assert (found.value, found.high, found.more) == (32.0, None, True)
    assert found.low == pytest.approx(16.0)  # 64 / 4


def test_too_few_runs_leave_the_ratio_open_on_that_side() -> None:
    found = ratio(Cost(8, None, 16), Cost(2, 1, None))
    assert (found.low, found.high) == (
        None,
        pytest.approx(4 * math.exp(math.hypot(*[math.log(2)] * 2))),
    )


@pytest.mark.parametrize("under", [Cost(2, 1, None, more=True), Cost(0, 0, 0)])
def test_no_ratio_to_a_bound_or_to_nothing(under: Cost) -> None:
    assert ratio(Cost(8, 4, 16), under) is None


def test_models_must_agree() -> None:
    one, other = Effect(0.9, 0.6, 1.0), Effect(0.1, 0.0, 0.4)
    both = envelope([one, other])
    assert (both.value, both.low, both.high) == (0.5, 0.0, 1.0)
    assert not both.above(0.5) and not both.below(0.5)
    assert envelope([one, one]) == one
    assert envelope([one, Effect(2, None, 3)]).low is None


def test_how_many_runs_would_decide() -> None:
    assert runs_needed(3, 3, 0.5) == 6
    assert runs_needed(2, 4, 0.5) is None
    n = runs_needed(4, 6, 0.5)
    assert share(round(n * 4 / 6), n).above(0.5)


def test_how_many_units_would_decide() -> None:
    # twice as wide as the gap: four times as many
    assert units_needed(Effect(1.0, 0.0, 2.0), 5, 0.5) == 20
    assert units_needed(Effect(0.5, 0.0, 1.0), 5, 0.5) is None
    assert units_needed(Effect(1.0, None, 2.0), 5, 0.5) is None
    assert units_needed(Effect(1.0, 0.0, None, more=True), 5, 0.5) is None


def test_the_limits_hold_whatever_the_share() -> None:
    limits = [share(k, 20) for k in range(21)]
    inside = [
        sum(binom.pmf(k, 20, p) for k, e in enumerate(limits) if e.low <= p <= e.high)
        for p in np.linspace(0.005, 0.995, 199)
    ]
    assert min(inside) >= 0.95

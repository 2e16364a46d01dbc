"""Whether a search was long enough."""

from __future__ import annotations

from itertools import combinations

import pytest

from holdfast.price.statistics.plateau import plateau


def test_curve_and_gain_by_hand() -> None:
    scores = [0.9, 0.1, 0.5, 0.3, 0.2, 0.8]
    found = plateau(scores, 0.05)
    for k, value in enumerate(found.curve, start=1):
        best = [max(some) for some in combinations(scores, k)]
        assert value == pytest.approx(sum(best) / len(best))
    assert found.gain == pytest.approx(found.curve[5] - found.curve[3])
    assert found.reached is (found.gain < 0.05)


def test_a_lone_lucky_draw_is_no_plateau() -> None:
    assert plateau([0.1] * 8 + [0.9], 0.05).reached is False
    assert plateau([0.1] + [0.9] * 8, 0.05).reached is True


def test_equal_scores_gain_nothing() -> None:
    assert plateau([0.4] * 6, 0.0).reached is True


def test_too_few_draws_have_no_last_third() -> None:
    assert plateau([0.1, 0.9], 0.05).reached is None
    assert plateau([0.3], 0.05).curve == (0.3,)


def test_no_draws_are_refused() -> None:
    with pytest.raises(AssertionError):
        plateau([], 0.05)

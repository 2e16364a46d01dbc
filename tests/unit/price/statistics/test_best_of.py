"""Search formulas against every order and every choice, written out."""

from __future__ import annotations

import itertools
from fractions import Fraction
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.price.statistics.best_of import (
    break_within,
    expected_best,
    expected_draws,
    most_rate,
    search_cost,
)
from holdfast.price.statistics.proportions import upper_bound

SMALL = [(n, s) for n in range(1, 7) for s in range(n + 1)]


@pytest.mark.parametrize(("n", "s"), SMALL)
def test_break_within_is_the_share_of_choices_with_a_break(n: int, s: int) -> None:
    trials = [True] * s + [False] * (n - s)
    for k in range(1, n + 1):
        choices = [any(c) for c in itertools.combinations(trials, k)]
        assert break_within(n, s, k) == pytest.approx(fmean(choices))


@pytest.mark.parametrize(("n", "s"), [(n, s) for n, s in SMALL if s])
def test_expected_draws_is_the_mean_over_all_orders(n: int, s: int) -> None:
    trials = [True] * s + [False] * (n - s)
    firsts = [order.index(True) + 1 for order in itertools.permutations(trials)]
    assert expected_draws(n, s) == pytest.approx(fmean(firsts))


def test_without_a_break_no_number_of_draws_is_expected() -> None:
    assert expected_draws(12, 0) is None


@pytest.mark.parametrize("n", [1, 5, 59, 200])
def test_most_rate_makes_all_failures_just_unlikely(n: int) -> None:
    assert (1 - most_rate(n)) ** n == pytest.approx(0.05)
    assert most_rate(n) == pytest.approx(upper_bound(0, n, 0.95))


def test_the_rule_of_three() -> None:
    # With many failures and no break, the search costs at least about a third of them.
    n, rate = 300, most_rate(300)
    assert search_cost(1.0, 0.0, rate) == pytest.approx(n / 3, rel=0.01)
    assert most_rate(59) < 0.05 < most_rate(58)


def test_search_cost_against_a_simulated_search() -> None:
    # Draws with success rate 0.3; a failure costs 4 on average, a success 1.
    chance = np.random.default_rng(0)
    failures = chance.geometric(0.3, 40_000) - 1
    costs = 4.0 * failures + 1.0
    error = costs.std() / np.sqrt(len(costs))
    assert abs(search_cost(4.0, 1.0, 0.3) - costs.mean()) < 4 * error


@pytest.mark.parametrize("scores", [[0.3], [0.1, 0.9], [0.5, 0.5, 0.2, 0.9], [1.0, 3.0, 2.0] * 2])
def test_expected_best_is_the_mean_over_all_choices(scores: list[float]) -> None:
    for k in range(1, len(scores) + 1):
        choices = [max(c) for c in itertools.combinations(scores, k)]
        assert expected_best(scores, k) == pytest.approx(fmean(choices))


@given(scores=st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_expected_best_grows_from_the_mean_to_the_maximum(scores: list[float]) -> None:
    curve = [expected_best(scores, k) for k in range(1, len(scores) + 1)]
    assert curve[0] == pytest.approx(fmean(scores)) and curve[-1] == pytest.approx(max(scores))
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(curve))


def test_expected_best_of_very_many_is_exact() -> None:
    # Of 1, ..., n the expected best of k is k (n + 1) / (k + 1), whatever the size of C(n, k).
    n, k = 2_000, 700
    assert expected_best(range(1, n + 1), k) == pytest.approx(float(Fraction(k * (n + 1), k + 1)))

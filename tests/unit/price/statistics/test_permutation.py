"""The permutation log-rank test: smallest p by hand, scipy's statistic, its level, Holm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import CensoredData, logrank, permutation_test

from holdfast.core import Seed
from holdfast.price.statistics.permutation import holm, log_rank, permutation_log_rank
from holdfast.price.statistics.survival import Passage

SEED = Seed(0)


def runs(*ends: float | None, budget: float = 64.0) -> list[Passage]:
    """Breaks at these costs; None for a run that did not break."""
    return [Passage(0, e, budget if e is None else e) for e in ends]


@pytest.mark.parametrize(("n", "least"), [(3, 0.10), (4, 0.029), (5, 0.008)])
def test_least_p_of_so_few_runs(n: int, least: float) -> None:
    cheap, dear = runs(*range(1, n + 1)), runs(*range(20, 20 + n))
    found = permutation_log_rank(cheap, dear, 64, SEED)
    assert found is not None and found.exact
    assert found.p == pytest.approx(least, abs=0.001)
    assert found.p == pytest.approx(2 / found.splits)
    assert found.statistic is not None and found.statistic > 0  # the first broke sooner


def scipys(x: list[Passage], y: list[Passage]) -> float:
    made = [
        CensoredData(
            uncensored=[p.at for p in group if p.at is not None],
            right=[p.bound for p in group if p.at is None],
        )
        for group in (x, y)
    ]
    return float(logrank(*made).statistic)


@pytest.mark.parametrize("seed", range(10))
def test_statistic_is_scipys(seed: int) -> None:
    draw = np.random.default_rng(seed)
    ends = [float(e) if e < 12 else None for e in draw.integers(1, 16, 11)]  # with ties
    x, y = runs(*ends[:5], budget=12), runs(*ends[5:], budget=12)
    if all(e is None for e in ends):
        pytest.skip("nothing broke")
    found = permutation_log_rank(x, y, 12, SEED)
    assert found is not None and found.statistic == pytest.approx(scipys(x, y))


def test_p_is_that_of_scipys_permutation_test() -> None:
    x, y = runs(2, 4, 4, None), runs(4, 8, None, None)
    ours = permutation_log_rank(x, y, 64, SEED)
    everyone = [*x, *y]

    def statistic(first: np.ndarray, second: np.ndarray) -> float:
        return scipys([everyone[int(i)] for i in first], [everyone[int(i)] for i in second])

    theirs = permutation_test(
        (np.arange(4), np.arange(4, 8)), statistic, vectorized=False, n_resamples=np.inf
    )
    as_far = np.abs(theirs.null_distribution) >= abs(theirs.statistic) - 1e-9
    assert ours is not None and ours.p == pytest.approx(as_far.mean())


def test_order_of_the_groups_changes_the_sign_alone() -> None:
    x, y = runs(1, 2, 8, None), runs(4, 8, 16)
    one, other = (permutation_log_rank(*pair, 64, SEED) for pair in ((x, y), (y, x)))
    assert one is not None and other is not None
    assert one.p == other.p and one.statistic == pytest.approx(-other.statistic)


@pytest.mark.parametrize(
    "groups",
    [
        (runs(None, None, None), runs(None, None, None)),
        ([Passage(0, None, 64, 4.0)] * 3, runs(None, None, None)),
    ],
)
def test_nothing_broken_says_nothing(groups: tuple[list[Passage], list[Passage]]) -> None:
    found = permutation_log_rank(*groups, 64, SEED)
    assert found is not None and found.p == 1.0 and found.statistic is None


def test_all_alike_is_no_difference() -> None:
    found = permutation_log_rank(runs(4, 4, 4), runs(4, 4, 4), 64, SEED)
    assert found is not None and found.p == 1.0


def test_an_empty_group_cannot_be_compared() -> None:
    assert permutation_log_rank([], runs(1), 64, SEED) is None


def test_a_collapsed_run_is_carried_to_the_budget() -> None:
    cheap = runs(1, 2, 3, 4)
    collapsed = [Passage(0, None, 2.5, 2.0)] * 4
    stood = runs(*[None] * 4)
    one, other = (permutation_log_rank(cheap, g, 64, SEED) for g in (collapsed, stood))
    assert one == other


def test_drawn_splits_come_near_all_of_them() -> None:
    x, y = runs(1, 2, 4, 8, 9, None), runs(3, 5, 8, 16, None, None)
    exact = permutation_log_rank(x, y, 64, SEED)
    drawn = permutation_log_rank(x, y, 64, SEED, exact_up_to=10)
    assert exact is not None and drawn is not None and not drawn.exact
    assert drawn.p == pytest.approx(exact.p, abs=0.02)
    assert drawn == permutation_log_rank(x, y, 64, SEED, exact_up_to=10)


def test_keeps_its_level_and_finds_a_large_shift() -> None:
    draw = np.random.default_rng(4)
    found = {1.0: 0, 6.0: 0}
    for fold in found:
        for _ in range(200):
            costs = np.exp(draw.normal(0, 0.6, (2, 5))) * [[1.0], [fold]]
            x, y = (runs(*(c if c < 5 else None for c in row), budget=5) for row in costs)
            test = permutation_log_rank(x, y, 5, SEED)
            found[fold] += test is not None and test.p <= 0.05
    assert found[1.0] / 200 <= 0.08 and found[6.0] / 200 >= 0.7


def test_a_split_without_variance_is_zero() -> None:
    members = np.array([[True, False]])
    assert log_rank(members, np.array([1.0, 1.0]), np.array([True, True])).tolist() == [0.0]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()


def test_holm_counts_what_could_not_be_compared() -> None:
    assert holm([0.02, None]) == (pytest.approx(0.04), None)
    assert holm([None, None]) == (None, None)


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(AssertionError):
        holm([1.5])

"""Shares of few runs: the figures of the note, two libraries, and ranks by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest
from statsmodels.stats.proportion import proportion_confint

from holdfast.price.statistics.proportions import (
    clean_runs_needed,
    clopper_pearson,
    quantile_ranks,
    upper_bound,
)


def test_the_figures_of_the_note() -> None:
    assert upper_bound(0, 5) == pytest.approx(0.45, abs=0.002)  # 0 breaks of 5 allow 45 %
    assert clean_runs_needed(0.05) == 59
    assert upper_bound(0, 59) < 0.05 < upper_bound(0, 58)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 5), (5, 5), (2, 5), (17, 40)])
def test_agrees_with_scipy_and_statsmodels(k: int, n: int) -> None:
    ours = clopper_pearson(k, n)
    theirs = binomtest(k, n).proportion_ci(method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert (ours.low, ours.high) == pytest.approx(proportion_confint(k, n, method="beta"))
    assert ours.low <= ours.share <= ours.high and ours.runs == n


def test_none_and_all_by_hand() -> None:
    assert clopper_pearson(0, 5).low == 0 and clopper_pearson(5, 5).high == 1
    assert clopper_pearson(0, 5).high == pytest.approx(1 - 0.025 ** (1 / 5))
    assert clopper_pearson(5, 5).low == pytest.approx(0.025 ** (1 / 5))


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(AssertionError):
        clopper_pearson(k, n)


def test_ranks_by_hand() -> None:
    # Of five runs all lie on one side of the median in 2/32 of cases; half of 1/32 is under 2.5 %.
    assert quantile_ranks(5, 0.5) == (1, 5)
    assert quantile_ranks(4, 0.5) == (None, None)  # half of 1/16 is not
    assert quantile_ranks(1, 0.5) == (None, None)
    assert quantile_ranks(20, 0.5) == (6, 15)


@pytest.mark.parametrize("n", [5, 6, 8, 9, 10, 12, 20, 50, 100])
def test_ranks_hold_the_median_as_often_as_they_say(n: int) -> None:
    low, high = quantile_ranks(n, 0.5)
    assert low is not None and high is not None
    # The interval from the low to the high rank misses when fewer than `low` lie below it ...
    held = 1 - binom.cdf(low - 1, n, 0.5) - binom.sf(high - 1, n, 0.5)
    assert 0.92 <= held <= 0.98


def test_ranks_of_the_cheap_tail() -> None:
    low, high = quantile_ranks(40, 0.1)
    draws = np.sort(np.random.default_rng(0).random((4000, 40)), axis=1)
    assert low is not None and high is not None
    held = (draws[:, low - 1] <= 0.1) & (draws[:, high - 1] >= 0.1)
    assert 0.92 <= held.mean() <= 0.98

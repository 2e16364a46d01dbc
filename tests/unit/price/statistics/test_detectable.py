"""What a comparison can see: the figures of the note, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind
from statsmodels.stats.power import TTestIndPower

from holdfast.price.statistics.detectable import (
    design_effect,
    detectable_difference,
    detectable_fold,
    detectable_paired,
    detectable_with_seeds,
    fold_power,
    pairs_needed,
    prompts_needed,
)


def test_prompts_of_the_note() -> None:
    assert prompts_needed(0.5, 0.55) == 1565
    assert prompts_needed(0.05, 0.10) == 435
    assert pairs_needed(0.05, 0.10) == 312
    assert pairs_needed(0.05, 0.20) == 626


def test_differences_of_the_note() -> None:
    assert detectable_difference(100) == pytest.approx(0.20, abs=0.01)
    assert detectable_difference(313) == pytest.approx(0.11, abs=0.005)


@pytest.mark.parametrize("prompts", [40, 104, 313, 1565])
def test_difference_and_prompts_are_each_others_inverse(prompts: int) -> None:
    difference = detectable_difference(prompts)
    assert difference is not None and prompts_needed(0.5, 0.5 + difference) == pytest.approx(
        prompts, abs=1
    )
    paired = detectable_paired(prompts, 0.2)
    assert paired is not None and pairs_needed(paired, 0.2) == pytest.approx(prompts, abs=1)


def test_pairing_sees_more() -> None:
    both = detectable_difference(104), detectable_paired(104)
    assert None not in both and both[1] < both[0]


def test_too_few_prompts_see_nothing() -> None:
    assert detectable_difference(3) is None and detectable_difference(0) is None
    assert detectable_paired(3) is None and detectable_paired(0) is None


def test_a_difference_above_the_disagreement_takes_as_much_of_it() -> None:
    found = detectable_paired(15, 0.2)
    assert found is not None and found > 0.2
    assert pairs_needed(found, found) == pytest.approx(15, abs=1)
    assert detectable_paired(15, 0.0) == pytest.approx(found)


def test_unpaired_difference_is_seen_in_80_per_cent() -> None:
    n, draw = 100, np.random.default_rng(0)
    shift = detectable_difference(n)
    assert shift is not None
    a, b = draw.binomial(n, 0.5, 20_000) / n, draw.binomial(n, 0.5 + shift, 20_000) / n
    pooled = (a + b) / 2
    seen = np.abs(a - b) / np.sqrt(2 * pooled * (1 - pooled) / n) > 1.96
    assert seen.mean() == pytest.approx(0.8, abs=0.02)


def test_difference_with_seeds_is_seen_in_80_per_cent() -> None:
    seeds, draw = 5, np.random.default_rng(1)
    shift = detectable_with_seeds(0.0, seeds, 0.1)
    assert shift is not None
    a, b = draw.normal(0, 0.1, (2, 4000, seeds))
    assert (ttest_ind(a, b + shift, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.02)


def test_without_spread_between_seeds_prompts_alone_count() -> None:
    error = math.sqrt(0.25 / 100)
    found = detectable_with_seeds(error, 3, 0.0)
    assert found == pytest.approx((1.96 + 0.8416) * math.sqrt(2) * error, rel=1e-3)
    assert detectable_with_seeds(error, 1, 0.0) is None
    assert detectable_with_seeds(0.0, 3, 0.0) == 0.0
    more = [detectable_with_seeds(error, s, 0.1) for s in (2, 3, 5, 10)]
    assert more == sorted(more, reverse=True)


def test_folds_of_the_note() -> None:
    assert 0.80 <= fold_power(5, 4, 0.6) <= 0.92
    assert 0.30 <= fold_power(5, 2, 0.6) <= 0.45


@pytest.mark.parametrize("runs", [4, 5, 10, 30])
def test_fold_agrees_with_statsmodels(runs: int) -> None:
    size = TTestIndPower().solve_power(nobs1=runs, alpha=0.05, power=0.8)
    assert detectable_fold(runs, 0.6) == pytest.approx(math.exp(size * 0.6), rel=1e-4)
    fold = detectable_fold(runs, 0.6)
    assert fold is not None and fold_power(runs, fold, 0.6) == pytest.approx(0.8, abs=1e-5)


def test_three_runs_a_side_can_show_no_fold() -> None:
    assert detectable_fold(3, 0.6) is None
    assert detectable_fold(5, 0.0) == 1.0


def test_prompts_that_repeat_each_other_count_once() -> None:
    draw = np.random.default_rng(0)
    alone = draw.random((3, 120))
    groups = [str(i // 4) for i in range(120)]
    assert design_effect(alone, groups) == pytest.approx(1.0, abs=0.3)
    repeated = np.repeat(alone[:, :30], 4, axis=1)
    assert design_effect(repeated, groups) == pytest.approx(4.0, rel=0.05)
    assert design_effect(repeated, ["one"] * 120) == 1.0
    assert design_effect(np.ones((2, 120)), groups) == 1.0
    assert design_effect(np.full((2, 120), np.nan), groups) == 1.0

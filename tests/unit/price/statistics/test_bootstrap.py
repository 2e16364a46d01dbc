"""Two-way resampling: limits, missing scores, pairing, and the variance of crossed effects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, t

from holdfast.core import Seed
from holdfast.price.statistics.bootstrap import (
    restricted_mean_interval,
    two_way,
    two_way_curve,
    two_way_difference,
)
from holdfast.price.statistics.crossed import Interval
from holdfast.price.statistics.survival import Passage

SEED = Seed(0)


def crossed(seed: int, seeds: int, prompts: int, a: float, b: float, e: float) -> np.ndarray:
    """Scores with these standard deviations between seeds, between prompts, and of the rest."""
    draw = np.random.default_rng(seed)
    return (
        draw.normal(0, a, (seeds, 1)) + draw.normal(0, b, (1, prompts))
        + draw.normal(0, e, (seeds, prompts))
    )  # fmt: skip


def wide(scores: np.ndarray, **options) -> Interval:
    found = two_way(scores, SEED, bounds=(-9, 9), **options)
    assert found is not None and found.low <= found.mean <= found.high
    return found


def test_mean_is_that_over_seeds_of_the_means_over_prompts() -> None:
    scores = np.array([[1.0, 0.0, np.nan, 1.0], [0.0, 0.0, 1.0, 0.0]])
    found = two_way(scores, SEED)
    assert found is not None and found.mean == pytest.approx((2 / 3 + 1 / 4) / 2)


def test_same_seed_same_interval() -> None:
    scores = crossed(0, 3, 30, 0.3, 1, 1)
    assert wide(scores) == wide(scores)
    assert two_way(scores, Seed(1), bounds=(-9, 9)) != wide(scores)


def test_without_differences_between_seeds_it_is_the_t_interval_over_prompts() -> None:
    prompts = np.random.default_rng(0).normal(0, 1, 60)
    found = wide(np.tile(prompts, (4, 1)), resamples=20_000)
    half = t.ppf(0.975, 59) * prompts.std(ddof=1) / np.sqrt(60)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.03)


def test_without_differences_between_prompts_it_is_the_t_interval_over_seeds() -> None:
    seeds = np.array([0.1, 0.3, 0.35, 0.5, 0.7])
    found = wide(np.tile(seeds[:, None], (1, 50)), resamples=20_000)
    half = t.ppf(0.975, 4) * seeds.std(ddof=1) / np.sqrt(5)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.03)


def test_one_seed_is_the_interval_over_prompts() -> None:
    prompts = np.random.default_rng(0).normal(0, 1, (1, 60))
    found = wide(prompts, resamples=20_000)
    half = t.ppf(0.975, 59) * prompts.std(ddof=1) / np.sqrt(60)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.03)


def test_prompts_of_one_group_go_together() -> None:
    groups = [str(i // 4) for i in range(80)]
    scores = np.repeat(crossed(1, 3, 20, 0, 1, 0), 4, axis=1)
    grouped, alone = wide(scores, groups=groups), wide(scores)
    assert grouped.mean == pytest.approx(alone.mean)
    assert (grouped.high - grouped.low) > 1.7 * (alone.high - alone.low)
    once = wide(scores[:, ::4])
    assert grouped.high - grouped.low == pytest.approx(once.high - once.low, rel=0.1)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_all_alike_has_no_width(value: float) -> None:
    assert two_way(np.full((3, 20), value), SEED) == Interval(value, value, value)


def test_nothing_scored_is_nothing() -> None:
    assert two_way(np.full((3, 20), np.nan), SEED) is None
    assert two_way(np.ones((3, 1)), SEED) is None  # one prompt says nothing of others


def test_a_seed_without_scores_is_left_out() -> None:
    scores = crossed(2, 3, 30, 0.2, 1, 1)
    missing = np.vstack([scores, np.full((1, 30), np.nan)])
    assert wide(missing).mean == pytest.approx(wide(scores).mean)


def test_bounds_hold() -> None:
    scores = (np.random.default_rng(0).random((2, 12)) < 0.9).astype(float)
    found = two_way(scores, SEED)
    assert found is not None and min(found.low, 1 - found.high) >= 0


@settings(max_examples=40, deadline=None)
@given(
    scores=st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, np.nan]), min_size=6, max_size=6),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_never_nan_never_outside(scores: list[list[float]]) -> None:
    found = two_way(np.array(scores), SEED, resamples=100)
    if found is not None:
        assert 0 <= found.low <= found.mean <= found.high <= 1


def test_a_curve_is_resampled_alike_at_every_reading() -> None:
    first = crossed(3, 3, 40, 0.3, 1, 1)
    curve = np.stack([first, first + 1, np.full_like(first, np.nan)], axis=1)
    curve[2, 1] = np.nan  # one seed ended before
    found = two_way_curve(curve, SEED, bounds=(-9, 9))
    assert found[0] == wide(first) and found[2] is None
    assert found[1] is not None and found[1].mean == pytest.approx((first[:2] + 1).mean())


def test_pairing_on_prompts_takes_their_differences_out() -> None:
    prompts = np.random.default_rng(0).normal(0, 1, (1, 60))
    first, second = (prompts + crossed(s, 3, 60, 0, 0, 0.1) for s in (1, 2))
    paired = two_way_difference(first / 9, second / 9 - 0.02, SEED)
    assert paired is not None and paired.low < 0.02 < paired.high
    assert paired.high - paired.low < 0.02  # each mean alone is uncertain by 0.06
    turned = two_way_difference(second / 9 - 0.02, first / 9, SEED)
    assert turned is not None and turned.mean == pytest.approx(-paired.mean)


def test_difference_from_itself_is_zero() -> None:
    scores = np.random.default_rng(0).random((1, 30))
    assert two_way_difference(scores, scores, SEED) == Interval(0.0, 0.0, 0.0)


def test_prompts_scored_for_one_model_alone_are_left_out() -> None:
    first, second = np.random.default_rng(0).random((2, 3, 30))
    first[:, :10] = np.nan
    found = two_way_difference(first, second, SEED)
    assert found is not None
    assert found.mean == pytest.approx(first[:, 10:].mean() - second[:, 10:].mean())
    assert two_way_difference(np.full((3, 30), np.nan), second, SEED) is None


@pytest.mark.parametrize(("a", "b", "e"), [(0.3, 1, 1), (0, 0, 1), (1, 0.2, 0.5)])
def test_width_follows_the_variance_of_crossed_effects(a: float, b: float, e: float) -> None:
    seeds, prompts, found = 5, 40, []
    for i in range(60):
        one = wide(crossed(i, seeds, prompts, a, b, e), resamples=200)
        found.append(((one.high - one.low) / 2 / 1.96) ** 2)
    truth = a**2 / seeds + b**2 / prompts + e**2 / (seeds * prompts)
    # t quantiles of few seeds make it wider than a normal one: at most 2.776 of 4 degrees.
    assert 0.9 * truth < np.mean(found) < (2.776 / 1.96) ** 2 * 1.2 * truth


def broke(at: float) -> Passage:
    return Passage(at, at, at)


@pytest.mark.parametrize("n", [1, 3, 5, 20])
def test_mean_cost_of_two_values_is_jeffreys_interval(n: int) -> None:
    for k in {0, n // 2, n}:
        runs = [broke(0.0)] * k + [Passage(0, None, 64)] * (n - k)
        low, high = restricted_mean_interval(runs, 64, SEED, resamples=100_000)
        theirs = beta(n - k + 0.5, k + 0.5).ppf([0.025, 0.975])
        assert (low / 64, high / 64) == pytest.approx(tuple(theirs), abs=0.01)


def test_mean_cost_lies_in_its_interval_on_both_axes() -> None:
    costs = [2.0, 4.0, 9.0, 16.0, 64.0]
    runs = [*map(broke, costs[:4]), Passage(0, None, 64)]
    low, high = restricted_mean_interval(runs, 64, SEED)
    assert low < np.mean(costs) < high <= 64
    low, high = restricted_mean_interval(runs, 64, SEED, least=1.0)
    assert 1 <= low < np.exp(np.log(costs).mean()) < high <= 64


def test_mean_cost_at_its_limits() -> None:
    stood = [Passage(0, None, 64)] * 5
    low, high = restricted_mean_interval(stood, 64, SEED)
    assert 63 < high <= 64 and 0 < low < 64
    lost = [Passage(0, None, 64, 2.0)] * 5
    assert restricted_mean_interval(lost, 64, SEED) == (low, high)
    assert restricted_mean_interval([broke(0.0)] * 3, 0, SEED) == (0, 0)

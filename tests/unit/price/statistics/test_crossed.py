"""Rates over seeds and prompts: known components, Wilson's interval as a limit, missing scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t
from statsmodels.regression.linear_model import OLS

from holdfast.price import wilson
from holdfast.price.statistics.crossed import Table, crossed, crossed_rate, crossed_rates


def spread(scores: np.ndarray):
    found = crossed([Table(scores, np.ones_like(scores))], [1.0])
    assert found is not None
    return found


def test_variance_by_hand() -> None:
    # Seeds differ and prompts do not: the variance of the two seeds' means, over two.
    seeds = np.tile([[0.2], [0.6]], (1, 10))
    assert spread(seeds).variance == pytest.approx(0.08 / 2)
    assert spread(seeds).freedom == pytest.approx(1)
    prompts = np.tile([0.0, 1.0, 0.0, 0.0], (3, 1))
    assert spread(prompts).variance == pytest.approx(np.var([0, 1, 0, 0], ddof=1) / 4)
    assert spread(prompts).freedom == pytest.approx(3)


def test_one_seed_has_the_variance_that_statsmodels_gives_clusters() -> None:
    groups = np.repeat(np.arange(12), 3)
    scores = np.random.default_rng(0).random((1, 36)) + np.repeat(
        np.random.default_rng(1).random(12), 3
    )
    theirs = OLS(scores[0], np.ones(36)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    sums = scores.reshape(1, 12, 3).sum(axis=2)
    ours = crossed([Table(sums, np.full((1, 12), 3.0))], [1.0])
    assert ours is not None
    assert ours.variance == pytest.approx(float(theirs.bse[0]) ** 2 * 12 / 11)


def test_components_of_known_size_come_back() -> None:
    draw, found = np.random.default_rng(2), []
    for _ in range(400):
        scores = (
            draw.normal(0, 0.3, (5, 1)) + draw.normal(0, 1.0, (1, 40)) + draw.normal(0, 1, (5, 40))
        )
        found.append(spread(scores).variance)
    assert np.mean(found) == pytest.approx(0.09 / 5 + 1 / 40 + 1 / 200, rel=0.1)


def test_seeds_that_are_alike_and_many_prompts_give_wilsons_interval() -> None:
    scores = (np.arange(2000) % 10 < 3).astype(float)
    found, theirs = crossed_rate(np.tile(scores, (4, 1))), wilson(0.3, 2000)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=2e-4)


def test_few_seeds_widen_it_by_a_t_quantile() -> None:
    means = np.array([0.45, 0.5, 0.55])
    found = crossed_rate(np.tile(means[:, None], (1, 30)))
    assert found is not None
    half = t.ppf(0.975, 2) * means.std(ddof=1) / np.sqrt(3)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_prompts_of_one_group_go_together() -> None:
    once = np.tile((np.random.default_rng(0).random(20) < 0.5).astype(float), (3, 1))
    four = np.repeat(once, 4, axis=1)
    grouped = crossed_rate(four, [str(i // 4) for i in range(80)])
    alone, single = crossed_rate(four), crossed_rate(once)
    assert alone is not None and grouped is not None and single is not None
    assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high))
    assert grouped.high - grouped.low > 1.3 * (alone.high - alone.low)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_all_alike_says_nothing_of_others(value: float) -> None:
    assert crossed_rate(np.full((3, 20), value)) is None


def test_nothing_scored_and_one_prompt_are_nothing() -> None:
    assert crossed_rate(np.full((3, 20), np.nan)) is None
    assert crossed_rate(np.array([[0.0], [1.0]])) is None


def test_a_seed_or_a_prompt_without_scores_is_left_out() -> None:
    scores = (np.random.default_rng(0).random((3, 20)) < 0.5).astype(float)
    more = np.full((4, 22), np.nan)
    more[:3, :20] = scores
    assert crossed_rate(more) == crossed_rate(scores)


def test_readings_of_a_curve_stand_each_alone() -> None:
    first, second = (np.random.default_rng(0).random((2, 3, 20)) < 0.5).astype(float)
    second[2] = np.nan  # one seed ended before
    found = crossed_rates(np.stack([first, second], axis=1))
    assert found == (crossed_rate(first), crossed_rate(second[:2]))


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(
        st.lists(st.sampled_from([0.0, 0.3, 1.0, np.nan]), min_size=5, max_size=5),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_never_nan_never_outside(scores: list[list[float]]) -> None:
    found = crossed_rate(np.array(scores))
    if found is not None:
        assert 0 <= found.low <= found.mean <= found.high <= 1
        turned = crossed_rate(1 - np.array(scores))
        assert turned is not None and turned.low == pytest.approx(1 - found.high)

"""Relations across models: by hand, against other libraries, in the limits, and their coverage."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import kendalltau, norm

from holdfast.price.statistics.relations import (
    MINIMUM,
    CostBracket,
    Run,
    _Design,
    elasticity,
    kendall,
)


def exact(*values: float) -> list[CostBracket]:
    return [CostBracket(v, v) for v in values]


def above(bound: float) -> CostBracket:
    return CostBracket(bound, math.inf)


def test_tau_by_hand() -> None:
    # pairs: (1,2) and (1,3) agree, (2,3) disagree: (2 - 1) / 3
    found = kendall([1, 2, 3], exact(10, 30, 20))
    assert found.tau == pytest.approx(1 / 3)
    assert (found.low, found.high, found.p) == (None, None, None)
    assert "a description" in found.reason


def test_tau_by_hand_with_a_cost_that_is_only_bounded() -> None:
    # "above 25" is above 10 and 20, and in no order with 30: of six pairs that x orders, five are
    # ordered by cost, all alike: 5 / sqrt(6 * 5)
    found = kendall([1, 2, 3, 4], [*exact(10, 20), above(25), *exact(30)])
    assert found.tau == pytest.approx(5 / math.sqrt(30))
    assert found.censored == 1


def test_brackets_that_touch_are_ordered_and_those_that_overlap_are_not() -> None:
    assert kendall([1, 2, 3], [CostBracket(1, 2), CostBracket(2, 4), CostBracket(4, 8)]).tau == 1.0
    assert kendall([1, 2], [CostBracket(1, 4), CostBracket(2, 8)]).tau is None


@pytest.mark.parametrize("seed", range(5))
def test_without_censoring_it_is_scipys_tau_b_with_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.integers(0, 5, 20), random.integers(1, 6, 20)
    ours = kendall([float(v) for v in x], exact(*map(float, y)), replicates=50)
    assert ours.tau == pytest.approx(kendalltau(x, y).statistic)


def test_the_p_value_is_scipys_up_to_the_draws() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=12)
    y = np.exp(x + random.normal(size=12))
    ours = kendall(list(x), exact(*y), replicates=4000)
    assert ours.p == pytest.approx(kendalltau(x, y).pvalue, abs=0.01)
    assert ours.low < ours.tau < ours.high


def test_a_perfect_order_has_the_least_p_that_the_draws_allow() -> None:
    found = kendall(list(range(10)), exact(*range(1, 11)), replicates=999)
    assert (found.tau, found.p) == (1.0, 1 / 1000)


def test_any_monotone_change_of_either_side_leaves_it_alone() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=10), np.exp(random.normal(size=10))
    one = kendall(list(x), exact(*y), replicates=200)
    two = kendall(list(np.exp(3 * x)), exact(*y**2), replicates=200)
    assert one == two


def test_the_partial_association_holds_size() -> None:
    # both sides rise with size and with nothing else: most of it goes
    random = np.random.default_rng(2)
    size, noise = np.exp(random.normal(size=200)), np.exp(0.3 * random.normal(size=(2, 200)))
    x, y = size * noise[0], size * noise[1]
    found = kendall(list(x), exact(*y), list(size), replicates=20)
    assert found.tau > 0.5
    assert abs(found.partial) < found.tau / 2
    xy, xz, yz = (kendalltau(*p).statistic for p in ((x, y), (x, size), (y, size)))
    hand = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert found.partial == pytest.approx(hand)


def test_one_size_for_all_leaves_no_partial_association() -> None:
    found = kendall(list(range(9)), exact(*range(1, 10)), [5.0] * 9, replicates=20)
    assert (found.tau, found.partial) == (1.0, None)


@pytest.mark.parametrize("costs", [exact(*[2.0] * 9), [above(4.0)] * 9])
def test_nothing_to_order_is_said_and_no_number_invented(costs: list[CostBracket]) -> None:
    found = kendall(list(range(9)), costs)
    assert (found.tau, found.low, found.p) == (None, None, None)
    assert "do not differ" in found.reason


def runs_of(
    random: np.random.Generator,
    models: int = 12,
    seeds: int = 5,
    *,
    beta: float = 1.0,
    between: float = 0.5,
    within: float = 0.6,
    budget: float = math.inf,
    width: float = 2.0,
) -> list[Run]:
    """Planted truth: ln C = 3 + beta ln R + model + run; costs read on a geometric grid."""
    found = []
    for model in range(models):
        resistance, own = random.normal(), between * random.normal()
        for _ in range(seeds):
            cost = math.exp(3 + beta * resistance + own + within * random.normal())
            low = width ** math.floor(math.log(cost, width)) if width > 1 else cost
            bracket = CostBracket(low, low * width)
            found.append(
                Run(str(model), "a", resistance, above(budget) if low >= budget else bracket)
            )
    return found


def test_exact_costs_give_least_squares() -> None:
    runs = runs_of(np.random.default_rng(0), width=1.0)
    x = [run.log_resistance for run in runs]
    y = [math.log(run.cost.low) for run in runs]
    slope, intercept = np.polyfit(x, y, 1)
    found = elasticity(runs, replicates=20)
    assert found.beta == pytest.approx(slope, abs=1e-4)
    rest = np.array(y) - slope * np.array(x) - intercept
    assert found.sigma == pytest.approx(math.sqrt((rest**2).mean()), abs=1e-4)


def test_the_likelihood_is_that_of_the_normal_law_and_its_gradient_is_right() -> None:
    runs = [
        Run("a", "x", 0.0, CostBracket(2, 4)), Run("b", "x", 1.0, CostBracket(3, 3)),
        Run("c", "y", 2.0, above(8)), Run("d", "y", 3.0, CostBracket(0, 5)),
    ]  # fmt: skip
    design = _Design.of(runs)
    ones, at = np.ones(4), np.array([0.3, 0.7, -0.2, 1.4])
    line, gamma = design.columns @ at[:-1], at[-1]
    upper, lower = design.high * gamma - line, design.low * gamma - line
    hand = [
        math.log(norm.cdf(upper[0]) - norm.cdf(lower[0])),
        norm.logpdf(upper[1]) + math.log(gamma),
        norm.logsf(lower[2]),
        norm.logcdf(upper[3]),
    ]
    assert design.loss(at, ones)[0] == pytest.approx(-sum(hand))
    numeric = approx_fprime(at, lambda p: design.loss(p, ones)[0], 1e-7)
    assert design.loss(at, ones)[1] == pytest.approx(numeric, abs=1e-4)


def test_far_out_in_either_tail_it_stays_finite() -> None:
    design = _Design.of(
        [Run("a", "x", 0.0, CostBracket(1, 2)), Run("b", "x", 1.0, CostBracket(2, 4))]
    )
    for line in (-60.0, 60.0):
        value, gradient = design.loss(np.array([line, 0.0, 1.0]), np.ones(2))
        assert math.isfinite(value)
        assert np.isfinite(gradient).all()


def test_it_is_lifelines_fit() -> None:
    lifelines = pytest.importorskip("lifelines")
    pandas = pytest.importorskip("pandas")
    runs = runs_of(np.random.default_rng(4), budget=64.0)
    # The library's trap: brackets that share an end are read rightly only once lower bounds are
    # shifted a little; the likelihood here needs no shift.
    frame = pandas.DataFrame(
        {
            "low": [run.cost.low + 1e-6 for run in runs],
            "high": [run.cost.high for run in runs],
            "resistance": [run.log_resistance for run in runs],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = lifelines.LogNormalAFTFitter().fit_interval_censoring(frame, "low", "high")
    ours = elasticity(runs, replicates=20)
    assert ours.beta == pytest.approx(theirs.params_["mu_", "resistance"], abs=1e-3)
    assert ours.sigma == pytest.approx(math.exp(theirs.params_["sigma_", "Intercept"]), abs=1e-3)
    assert ours.censored == sum(run.cost.censored for run in runs) > 0


def test_attacks_have_their_own_level() -> None:
    random = np.random.default_rng(5)
    one = runs_of(random, width=1.0)
    dear = [Run(r.model, "b", r.log_resistance, CostBracket(*[50 * r.cost.low] * 2)) for r in one]
    assert elasticity([*one, *dear], replicates=20).beta == pytest.approx(
        elasticity(one, replicates=20).beta, abs=1e-3
    )


def test_cost_in_other_units_leaves_it_alone_and_resistance_squared_halves_it() -> None:
    runs = runs_of(np.random.default_rng(6), budget=64.0)
    scaled = [
        Run(
            r.model,
            r.attack,
            2 * r.log_resistance,
            CostBracket(1e9 * r.cost.low, 1e9 * r.cost.high),
        )
        for r in runs
    ]
    one, two = elasticity(runs, replicates=30), elasticity(scaled, replicates=30)
    assert two.beta == pytest.approx(one.beta / 2, rel=1e-3)
    assert two.high - two.low == pytest.approx((one.high - one.low) / 2, rel=1e-2)


def test_below_the_least_number_of_models_it_is_a_description() -> None:
    found = elasticity(runs_of(np.random.default_rng(7), models=MINIMUM - 1))
    assert found.beta is not None
    assert (found.low, found.high) == (None, None)
    assert "a description" in found.reason


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([Run("a", "x", 0.0, CostBracket(1, 2))] * 9, "needs 3 models"),
        ([Run(str(n), "x", 1.0, CostBracket(1, 2)) for n in range(9)], "resist alike"),
        ([Run(str(n), "x", float(n), above(8)) for n in range(9)], "fewer than two runs"),
    ],
)
def test_what_cannot_be_estimated_is_said(runs: list[Run], said: str) -> None:
    found = elasticity(runs)
    assert (found.beta, found.low) == (None, None)
    assert said in found.reason


def test_an_attack_that_breaks_nothing_leaves_the_slope_alone() -> None:
    runs = runs_of(np.random.default_rng(8), budget=64.0)
    vain = [Run(r.model, "b", r.log_resistance, above(64.0)) for r in runs]
    one, two = elasticity(runs, replicates=40), elasticity([*runs, *vain], replicates=40)
    assert two.beta == pytest.approx(one.beta, abs=0.01)
    assert two.high == pytest.approx(one.high, abs=0.05)


def naive(runs: list[Run]) -> tuple[float, float]:
    """The interval that takes runs for independent: from the curvature of the likelihood."""
    design, ones = _Design.of(runs), np.ones(len(runs))
    best = design.optimum(ones)
    slope = best[1] / best[-1]
    step = 1e-4
    curvature = np.array(
        [
            (design.loss(best + step * e, ones)[1] - design.loss(best - step * e, ones)[1])
            / (2 * step)
            for e in np.eye(len(best))
        ]
    )
    by = np.zeros(len(best))  # the delta method: slope = b / gamma
    by[1], by[-1] = 1 / best[-1], -best[1] / best[-1] ** 2
    reach = norm.ppf(0.975) * math.sqrt(by @ np.linalg.solve(curvature, by))
    return slope - reach, slope + reach


@pytest.mark.slow
def test_the_interval_over_models_covers_and_the_naive_one_does_not() -> None:
    replicates, inside = 500, np.zeros(2)
    for seed in range(replicates):
        runs = runs_of(np.random.default_rng(seed), budget=128.0)
        found = elasticity(runs, replicates=60, seed=seed)
        low, high = naive(runs)
        inside += [found.low <= 1.0 <= found.high, low <= 1.0 <= high]
    clustered, independent = inside / replicates
    assert 0.92 <= clustered <= 0.985
    assert independent < 0.88

"""How often the 95 % intervals hold the truth, by simulation with a known truth.

Run with -s to see the figures. An interval that supposes nothing of a distribution is held to at
least 95 %, one that approximates to 92-98 %; where a method is known to fall short, so is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, norm

from holdfast.core import Seed
from holdfast.price import wilson
from holdfast.price.statistics.bootstrap import (
    restricted_mean_interval,
    two_way,
    two_way_difference,
)
from holdfast.price.statistics.crossed import Interval, crossed_rate
from holdfast.price.statistics.minimum import Cell, minimum
from holdfast.price.statistics.proportions import clopper_pearson
from holdfast.price.statistics.survival import Passage, quantile_interval

pytestmark = pytest.mark.slow

REPLICATES = 600
SD = 0.6
"""Of the logarithm of cost between runs."""


def covered(name: str, held: Callable[[np.random.Generator, int], bool], times: int) -> float:
    """The share of replicates in which the interval held the truth."""
    draw = np.random.default_rng(20_250_101)
    share = sum(held(draw, i) for i in range(times)) / times
    print(f"{name}: {share:.3f} of {times}")
    return share


def holds(low: float | None, high: float | None, truth: float) -> bool:
    """Whether the truth is inside; an end that is missing is open."""
    return (low is None or low <= truth) and (high is None or truth <= high)


def runs_of(costs: np.ndarray, budget: float, ratio: float | None) -> list[Passage]:
    """Runs that break at these costs, read exactly or at powers of `ratio`."""
    found: list[Passage] = []
    for cost in costs:
        after = at = float(cost)
        if ratio is not None:
            step = math.ceil(math.log(cost) / math.log(ratio))
            after, at = ratio ** (step - 1), ratio**step
        found.append(Passage(0, None, budget) if at > budget else Passage(after, at, at))
    return found


@pytest.mark.parametrize("n", [1, 3, 5, 10, 40])
def test_clopper_pearson_never_falls_short(n: int) -> None:
    ends = [clopper_pearson(k, n) for k in range(n + 1)]
    for p in np.linspace(0.005, 0.995, 199):
        held = sum(binom.pmf(k, n, p) for k, e in enumerate(ends) if e.low <= p <= e.high)
        assert held >= 0.95


@pytest.mark.parametrize("n", [5, 20])
def test_break_probability(n: int) -> None:
    truth = 0.7

    def held(draw: np.random.Generator, _: int) -> bool:
        found = clopper_pearson(int(draw.binomial(n, truth)), n)
        return found.low <= truth <= found.high

    assert covered(f"break probability, {n} runs", held, 4 * REPLICATES) >= 0.95


def answers(
    draw: np.random.Generator, seeds: int, prompts: int, mean: float, a: float, b: np.ndarray
) -> np.ndarray:
    """Right or wrong answers whose log-odds vary between seeds (SD a) and between prompts (b)."""
    odds = mean + draw.normal(0, a, (seeds, 1)) + b
    return (draw.random((seeds, prompts)) < 1 / (1 + np.exp(-odds))).astype(float)


def rate_of(mean: float, a: float, b: float) -> float:
    """The mean over all seeds and prompts there could be."""
    odds = norm.ppf((np.arange(20_000) + 0.5) / 20_000, mean, max(math.hypot(a, b), 1e-9))
    return float((1 / (1 + np.exp(-odds))).mean())


def rate_share(
    method: Callable[[np.ndarray, int], Interval | None],
    seeds: int,
    prompts: int,
    mean: float,
    a: float,
    b: float,
) -> float:
    truth = rate_of(mean, a, b)

    def held(draw: np.random.Generator, i: int) -> bool:
        scores = answers(draw, seeds, prompts, mean, a, draw.normal(0, b, (1, prompts)))
        found = method(scores, i)
        if found is None:  # every answer alike
            wide = wilson(float(scores.mean()), prompts)
            return wide.low <= truth <= wide.high
        return found.low <= truth <= found.high

    name = f"rate {truth:.2f}, {seeds} seeds x {prompts} prompts, SD {a:g} and {b:g}"
    return covered(f"{method.__name__}: {name}", held, REPLICATES)


def crossed_effects(scores: np.ndarray, _: int) -> Interval | None:
    return crossed_rate(scores)


def bootstrap(scores: np.ndarray, i: int) -> Interval | None:
    return two_way(scores, Seed(i), resamples=500)


def seeds_alike(scores: np.ndarray, _: int) -> Interval | None:
    return crossed_rate(np.tile(scores, (3, 1)))


REGIMES = [(0, 0.3, 1.5), (2, 0.5, 1.5), (0, 1.0, 0.5), (-4, 0.5, 1.5)]


@pytest.mark.parametrize("prompts", [40, 104])
@pytest.mark.parametrize(("mean", "a", "b"), REGIMES)
@pytest.mark.parametrize("seeds", [3, 5])
def test_rates(seeds: int, prompts: int, mean: float, a: float, b: float) -> None:
    assert 0.92 <= rate_share(crossed_effects, seeds, prompts, mean, a, b) <= 0.98


@pytest.mark.parametrize("mean", [0.0, 4.0])
@pytest.mark.parametrize("seeds", [3, 5])
def test_rates_are_wide_where_neither_seeds_nor_prompts_differ(seeds: int, mean: float) -> None:
    assert rate_share(crossed_effects, seeds, 104, mean, 0, 0) >= 0.95


@pytest.mark.parametrize("mean", [-4.0, -3.0, 0.0, 2.0])
def test_rates_of_seeds_that_are_alike(mean: float) -> None:
    assert 0.92 <= rate_share(seeds_alike, 1, 104, mean, 0, 0) <= 0.98


def test_two_seeds_are_too_few_where_seeds_differ_much() -> None:
    assert 0.80 <= rate_share(crossed_effects, 2, 104, 0, 1.0, 0.5) <= 0.92


@pytest.mark.parametrize("prompts", [40, 104])
@pytest.mark.parametrize(("mean", "a", "b"), REGIMES[:3])
@pytest.mark.parametrize("seeds", [3, 5])
def test_two_way_bootstrap(seeds: int, prompts: int, mean: float, a: float, b: float) -> None:
    assert 0.92 <= rate_share(bootstrap, seeds, prompts, mean, a, b) <= 0.98


@pytest.mark.parametrize("seeds", [3, 5])
def test_paired_difference(seeds: int) -> None:
    truth = rate_of(1, 0.5, 1.5) - rate_of(0, 0.5, 1.5)

    def held(draw: np.random.Generator, i: int) -> bool:
        hard = draw.normal(0, 1.5, (1, 80))
        first, second = (answers(draw, seeds, 80, mean, 0.5, hard) for mean in (1, 0))
        found = two_way_difference(first, second, Seed(i), resamples=500)
        return found is not None and found.low <= truth <= found.high

    share = covered(f"paired difference, {seeds} seeds x 80 prompts", held, REPLICATES)
    assert 0.92 <= share <= 0.98


def quantile_share(n: int, q: float, beyond: float, ratio: float | None) -> float:
    """Of log-normal costs with median 100, a share `beyond` of them above the budget."""
    truth = 100 * math.exp(SD * norm.ppf(q))
    budget = 100 * math.exp(SD * norm.isf(beyond))

    def held(draw: np.random.Generator, _: int) -> bool:
        runs = runs_of(100 * np.exp(draw.normal(0, SD, n)), budget, ratio)
        return holds(*quantile_interval(runs, budget, q), truth)

    grid = "exact" if ratio is None else f"ratio {ratio:g}"
    return covered(f"C_{100 * q:.0f}, {n} runs, {grid}, {beyond:g} censored", held, 4 * REPLICATES)


@pytest.mark.parametrize("beyond", [0.001, 0.3])
@pytest.mark.parametrize("n", [5, 8, 20])
def test_median_cost(n: int, beyond: float) -> None:
    assert 0.92 <= quantile_share(n, 0.5, beyond, None) <= 0.98


def test_cheap_tail() -> None:
    assert 0.92 <= quantile_share(40, 0.1, 0.3, None) <= 0.98


@pytest.mark.parametrize("ratio", [math.sqrt(2), 2.0])
@pytest.mark.parametrize("n", [5, 20])
def test_median_cost_read_at_a_grid_is_wider_by_the_grid(n: int, ratio: float) -> None:
    assert quantile_share(n, 0.5, 0.01, ratio) >= 0.92


@pytest.mark.parametrize("beyond", [0.7, 0.5, 0.2, 0.001])
@pytest.mark.parametrize("n", [3, 5, 10, 20])
@pytest.mark.parametrize("logs", [False, True])
def test_restricted_mean(n: int, beyond: float, logs: bool) -> None:
    budget = 100 * math.exp(SD * norm.isf(beyond))
    all_costs = np.exp(norm.ppf((np.arange(200_000) + 0.5) / 200_000, math.log(100), SD))
    spent = np.minimum(all_costs, budget)
    truth = float(np.exp(np.log(spent).mean()) if logs else spent.mean())
    least = 1.0 if logs else None

    def held(draw: np.random.Generator, i: int) -> bool:
        runs = runs_of(100 * np.exp(draw.normal(0, SD, n)), budget, None)
        found = restricted_mean_interval(runs, budget, Seed(i), least, resamples=1000)
        return found[0] <= truth <= found[1]

    name = f"restricted mean{' of logs' if logs else ''}, {n} runs, {beyond:g} censored"
    share = covered(name, held, REPLICATES)
    assert share >= (0.92 if n >= 5 else 0.86)
    if n >= 5 and not (logs and beyond < 0.01):
        assert share <= 0.98  # wider where hardly any cost is near a bound on a logarithm's scale


def minimum_share(attacks: int, n: int, apart: float) -> float:
    """Attacks whose medians are each exp(apart) times the one before."""

    def held(draw: np.random.Generator, i: int) -> bool:
        costs = 100 * np.exp(draw.normal(0, SD, (attacks, n)) + apart * np.arange(attacks)[:, None])
        cells = {str(k): Cell(runs_of(row, 1e9, None), 1e9, 1e9) for k, row in enumerate(costs)}
        found = minimum(cells, 0.5, Seed(i), resamples=2)
        return found is not None and holds(found.low, found.high, 100.0)

    name = f"model price, {attacks} attacks x {n} runs, {math.exp(apart):.1f}-fold apart"
    return covered(name, held, REPLICATES)


@pytest.mark.parametrize(("attacks", "apart"), [(3, 0.7), (8, 0.7), (8, 0.2)])
@pytest.mark.parametrize("n", [5, 20])
def test_model_price(attacks: int, n: int, apart: float) -> None:
    assert 0.92 <= minimum_share(attacks, n, apart) <= 0.98


@pytest.mark.parametrize(("attacks", "n"), [(3, 5), (3, 20), (8, 5), (8, 20)])
def test_model_price_of_attacks_that_cost_the_same_is_too_narrow(attacks: int, n: int) -> None:
    # Named for the lowest of equal figures, the cheapest attack's own high end is low as well.
    assert 0.84 <= minimum_share(attacks, n, 0.0) <= 0.95

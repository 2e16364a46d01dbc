"""The curve of cost to break: by hand, at its limits, against two libraries and a written-out EM."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from holdfast.price.statistics.survival import (
    Passage,
    Steps,
    collapse_incidence,
    firm_quantile,
    kaplan_meier,
    least_quantile,
    quantile,
    quantile_interval,
    resampled_quantiles,
    restricted_mean,
    restricted_mean_log,
)


def broke(after: float, at: float) -> Passage:
    return Passage(after, at, at)


def stood(bound: float) -> Passage:
    return Passage(0.0, None, bound)


def lost(collapsed: float, bound: float = 64.0) -> Passage:
    return Passage(0.0, None, bound, collapsed)


GRID = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


def drawn(seed: int, runs: int = 12, budget: float = 64.0) -> list[Passage]:
    """Log-normal costs read at doublings up to the budget."""
    costs = np.exp(np.random.default_rng(seed).normal(np.log(12), 1.2, runs))
    found = []
    for cost in costs:
        at = next((g for g in GRID if g >= cost), None)
        found.append(stood(budget) if at is None else broke(GRID[GRID.index(at) - 1], at))
    return found


def test_by_hand() -> None:
    # Five runs: 4 leave at 2 and one is lost from sight at 3; of the two left one breaks at 8.
    runs = [broke(1, 2), broke(1, 2), stood(3), broke(4, 8), stood(64)]
    curve = kaplan_meier(runs, 64).right
    assert curve.costs == (2, 8)
    assert curve.values == pytest.approx((3 / 5, 3 / 5 * 1 / 2))
    assert [curve.at(c) for c in (0, 1.9, 2, 7.9, 8, 64)] == pytest.approx(
        [1, 1, 0.6, 0.6, 0.3, 0.3]
    )
    left = kaplan_meier(runs, 64).left
    assert left.costs == (1, 4) and left.values == pytest.approx((0.6, 0.3))


def test_agrees_with_lifelines() -> None:
    from lifelines import KaplanMeierFitter

    draw = np.random.default_rng(3)
    for _ in range(20):
        times, seen = draw.exponential(10, 15), draw.random(15) < 0.6
        runs = [broke(0, t) if s else stood(t) for t, s in zip(times, seen, strict=True)]
        theirs = KaplanMeierFitter().fit(times, seen)
        ours = kaplan_meier(runs, 1e3).right
        for cost in times:
            assert ours.at(cost) == pytest.approx(theirs.predict(cost))


def turnbull(runs: list[Passage]) -> dict[float, float]:
    """S at each point of the grid by Turnbull's EM, written out: each run spreads over its cells."""
    cells = list(zip(GRID, [*GRID[1:], math.inf], strict=True))
    may = np.array(
        [
            [
                p.after <= low and high <= p.at if p.at is not None else low >= p.bound
                for low, high in cells
            ]
            for p in runs
        ],
        dtype=float,
    )
    mass = np.full(len(cells), 1 / len(cells))
    for _ in range(20_000):
        expected = may * mass
        expected /= expected.sum(axis=1, keepdims=True)
        mass = expected.mean(axis=0)
    return {high: 1 - mass[: i + 1].sum() for i, (_, high) in enumerate(cells[:-1])}


@pytest.mark.parametrize("seed", range(4))
def test_right_ends_on_a_shared_grid_are_turnbulls(seed: int) -> None:
    runs = [*drawn(seed), stood(4.0)]  # the last was cut short at a reading
    curve = kaplan_meier(runs, 64).right
    for cost, value in turnbull(runs).items():
        assert curve.at(cost) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_the_truth_of_each_run_lies_in_the_bracket(seed: int) -> None:
    both = kaplan_meier(drawn(seed), 64)
    for cost in np.linspace(0, 64, 200):
        assert both.left.at(cost) <= both.right.at(cost)


def test_none_broken_is_flat_and_above_the_budget() -> None:
    curve = kaplan_meier([stood(64)] * 5, 64).right
    assert curve.costs == () and curve.end == 1.0
    assert quantile(curve, 0.1) is None and restricted_mean(curve, 64) == 64


def test_all_broken_at_once() -> None:
    curve = kaplan_meier([broke(1, 2)] * 3, 64).right
    assert curve.end == 0.0 and quantile(curve, 0.1) == quantile(curve, 1.0) == 2
    assert restricted_mean(curve, 64) == pytest.approx(2)


def test_all_collapsed_is_not_broken() -> None:
    runs = [lost(4), lost(8), lost(8)]
    curve = kaplan_meier(runs, 64).right
    assert curve.end == 1.0 and quantile(curve, 0.5) is None
    both = collapse_incidence(runs, 64)
    assert both.broken.end == 0.0
    assert both.collapsed.costs == (4, 8) and both.collapsed.values == pytest.approx((1 / 3, 1))


def test_collapse_is_no_censoring() -> None:
    # Censored at its collapse, the second run would leave the third alone at risk: S = 0.
    curve = kaplan_meier([broke(1, 2), lost(4), broke(16, 32)], 64).right
    assert curve.end == pytest.approx(1 / 3)


@pytest.mark.parametrize("run", [broke(2, 4), stood(64), lost(4)])
def test_a_single_run(run: Passage) -> None:
    curve, both = kaplan_meier([run], 64), collapse_incidence([run], 64)
    assert curve.right.end == (0.0 if run.at else 1.0)
    assert both.broken.end == 1 - curve.right.end
    assert both.collapsed.end == (1.0 if run.collapsed else 0.0)


def test_a_cost_of_nothing_is_a_cost() -> None:
    curve = kaplan_meier([broke(0, 0), stood(0)], 0).right
    assert quantile(curve, 0.5) == 0 and curve.at(0) == 0.5 and restricted_mean(curve, 0) == 0


def test_a_break_first_seen_beyond_the_budget_counts_at_the_left_alone() -> None:
    both = kaplan_meier([broke(48, 80), stood(64)], 64)
    assert both.right.end == 1.0 and both.left.end == 0.5


def test_incidence_by_hand() -> None:
    # 4 at risk: one breaks at 1 (1/4). 3 left, one collapses at 2 (3/4 * 1/3). One is cut short at
    # 3. One left breaks at 4: 3/4 * 2/3 * 1.
    runs = [broke(0, 1), lost(2), Passage(0, None, 3), broke(2, 4)]
    both = collapse_incidence(runs, 64)
    assert both.broken.values == pytest.approx((1 / 4, 3 / 4))
    assert both.collapsed.costs == (2,) and both.collapsed.values == pytest.approx((1 / 4,))


def test_incidence_agrees_with_lifelines() -> None:
    from lifelines import AalenJohansenFitter

    draw = np.random.default_rng(5)
    times = draw.exponential(10, 25)
    kinds = draw.integers(0, 3, 25)
    runs = [[stood(t), broke(0, t), lost(t, t)][k] for t, k in zip(times, kinds, strict=True)]
    ours = collapse_incidence(runs, 1e3)
    for kind, steps in ((1, ours.broken), (2, ours.collapsed)):
        theirs = AalenJohansenFitter(calculate_variance=False)
        theirs.fit(times, kinds, event_of_interest=kind)
        for cost in times:
            column = theirs.cumulative_density_
            assert steps.at(cost) == pytest.approx(float(column.loc[:cost].iloc[-1, 0]))


def test_incidences_and_survival_sum_to_one() -> None:
    runs = [*drawn(9), lost(3.0), lost(5.0), lost(5.0)]
    both = collapse_incidence(runs, 64)
    assert both.broken.end == pytest.approx(1 - kaplan_meier(runs, 64).right.end)
    assert both.broken.end + both.collapsed.end <= 1 + 1e-12


def test_quantile_is_the_first_cost_by_which_the_share_broke() -> None:
    curve = kaplan_meier([broke(0, 2.0**i) for i in range(10)], 1e3).right
    assert quantile(curve, 0.1) == 1  # 1 - 0.9 is below 0.1 in binary
    assert quantile(curve, 0.11) == 2 and quantile(curve, 0.5) == 16 and quantile(curve, 1) == 512


def test_restricted_mean_is_the_mean_of_what_is_spent() -> None:
    runs = [broke(1, 2), broke(4, 8), stood(64), lost(4)]
    curve = kaplan_meier(runs, 64).right
    assert restricted_mean(curve, 64) == pytest.approx((2 + 8 + 64 + 64) / 4)
    assert restricted_mean(curve, 4) == pytest.approx((2 + 4 + 4 + 4) / 4)
    logs = np.log([2, 8, 64, 64])
    assert restricted_mean_log(curve, 64, 1) == pytest.approx(np.exp(logs.mean()))
    assert restricted_mean_log(curve, 64, 0) is None
    assert restricted_mean_log(curve, 64, 65) is None


def test_restricted_mean_agrees_with_lifelines() -> None:
    from lifelines import KaplanMeierFitter
    from lifelines.utils import restricted_mean_survival_time

    draw = np.random.default_rng(8)
    times, seen = draw.exponential(10, 15), draw.random(15) < 0.6
    runs = [broke(0, t) if s else stood(t) for t, s in zip(times, seen, strict=True)]
    theirs = restricted_mean_survival_time(KaplanMeierFitter().fit(times, seen), t=12.0)
    assert restricted_mean(kaplan_meier(runs, 1e3).right, 12.0) == pytest.approx(theirs)


def test_area_is_the_integral() -> None:
    curve = Steps((1.0, 3.0), (0.5, 0.2), 1.0, 10.0)
    area = quad(curve.at, 0, 10, points=[1, 3])[0]
    assert restricted_mean(curve, 10) == pytest.approx(area)


def test_simulated_costs_give_their_quantiles() -> None:
    costs = np.exp(np.random.default_rng(0).normal(2, 0.6, 4000))
    curve = kaplan_meier([broke(0, c) if c < 9 else stood(9) for c in costs], 9).right
    assert quantile(curve, 0.5) == pytest.approx(math.exp(2), rel=0.03)
    assert quantile(curve, 0.1) == pytest.approx(math.exp(2 + 0.6 * norm.ppf(0.1)), rel=0.04)
    assert quantile(curve, 0.7) is None  # above 9


@settings(max_examples=60, deadline=None)
@given(
    ends=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=7),
    q=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_firm_quantile_is_the_curves_where_all_were_followed(
    ends: list[tuple[int, bool]], q: float
) -> None:
    runs = [broke(GRID[i], GRID[i + 1]) if b else stood(64) for i, b in ends]
    both = kaplan_meier(runs, 64)
    assert firm_quantile(runs, 64, q) == quantile(both.right, q)
    left = quantile(both.left, q)
    assert least_quantile(runs, 64, q) == (64 if left is None else left)


def test_runs_cut_short_leave_a_quantile_open_only_where_they_matter() -> None:
    runs = [broke(16, 32), broke(16, 32), stood(8)]
    assert quantile(kaplan_meier(runs, 64).right, 0.5) == 32
    assert firm_quantile(runs, 64, 0.5) == 32  # whenever the third breaks, two have by 32
    assert firm_quantile(runs, 64, 0.1) is None and least_quantile(runs, 64, 0.1) == 8
    two = [broke(16, 32), stood(8), stood(64)]
    assert firm_quantile(two, 64, 0.5) is None and least_quantile(two, 64, 0.5) == 16


def test_interval_of_a_median_takes_five_runs() -> None:
    runs = [broke(2.0**i, 2.0 ** (i + 1)) for i in range(5)]
    assert quantile_interval(runs[:4], 64, 0.5) == (None, None)
    assert quantile_interval(runs, 64, 0.5) == (1, 32)  # left end of the first, right of the last
    assert quantile_interval(runs, 64, 0.1) == (None, 8)


def test_interval_is_open_where_runs_did_not_break() -> None:
    runs = [broke(2.0**i, 2.0 ** (i + 1)) for i in range(4)]
    assert quantile_interval([*runs, stood(64)], 64, 0.5) == (1, None)
    assert quantile_interval([stood(60)] * 5, 64, 0.5) == (60, None)
    assert quantile_interval([lost(2)] * 5, 64, 0.5) == (64, None)


@settings(max_examples=60, deadline=None)
@given(
    ends=st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(["broke", "stood", "lost"])),
        min_size=1, max_size=9,
    ),
    q=st.sampled_from([0.1, 0.5, 1.0]),
)  # fmt: skip
def test_resampled_quantiles_are_those_of_the_drawn_runs(
    ends: list[tuple[int, str]], q: float
) -> None:
    made = {"broke": lambda i: broke(GRID[i], GRID[i + 1]), "stood": lambda i: stood(GRID[i + 1]),
            "lost": lambda i: lost(GRID[i])}  # fmt: skip
    runs = [made[kind](i) for i, kind in ends]
    counts = np.random.default_rng(1).multinomial(len(runs), [1 / len(runs)] * len(runs), size=5)
    found = resampled_quantiles(runs, 64, q, counts)
    for row, value in zip(counts, found, strict=True):
        again = [run for run, times in zip(runs, row, strict=True) for _ in range(times)]
        expected = quantile(kaplan_meier(again, 64).right, q)
        assert value == (math.inf if expected is None else expected)


@pytest.mark.parametrize(
    "values",
    [(0, math.nan, 1), (0, -1, 1), (2, 1, 1), (0, None, math.inf), (0, 1, 1, 1)],
)
def test_runs_that_cannot_be_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(AssertionError):
        Passage(*values)

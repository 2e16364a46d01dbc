"""The model's price: the least over attacks, censored cells, and how often each is the least."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.core import Seed
from holdfast.price.statistics.minimum import Cell, minimum
from holdfast.price.statistics.survival import Passage

SEED = Seed(0)


def cell(*ends: float | None, budget: float = 64.0) -> Cell:
    runs = [Passage(0 if e is None else e / 2, e, budget if e is None else e) for e in ends]
    return Cell(runs, budget, budget)


def test_the_cheapest_attack_sets_it() -> None:
    found = minimum({"dear": cell(16, 32, 32), "cheap": cell(2, 4, 4)}, 0.5, SEED)
    assert found is not None and (found.attack, found.cost) == ("cheap", 4)
    assert found.above is None and found.unbroken == 0
    assert found.frequency == {"dear": 0.0, "cheap": 1.0}
    assert (found.low, found.high) == (None, None)  # three runs bound no median


def test_interval_from_the_least_low_end_to_the_high_end_of_the_cheapest() -> None:
    found = minimum({"a": cell(8, 16, 16, 32, 32), "b": cell(4, 32, 64, 64, 64)}, 0.5, SEED)
    assert found is not None and (found.attack, found.cost) == ("a", 16)
    assert (found.low, found.high) == (2, 32)  # half of 4; the fifth of a


def test_all_censored_is_above_the_least_budget() -> None:
    cells = {"a": cell(None, None, budget=64), "b": cell(None, None, budget=16)}
    found = minimum(cells, 0.5, SEED)
    assert found is not None and found.attack is None and found.cost is None
    assert found.above == 16 and found.unbroken == 1.0
    assert set(found.frequency.values()) == {0.0} and found.high is None


def test_a_short_unbroken_attack_may_be_cheaper() -> None:
    cells = {"long": cell(32, 32, 32), "short": cell(None, None, None, budget=8)}
    found = minimum(cells, 0.5, SEED)
    assert found is not None and found.cost == 32 and found.may_be_cheaper == ("short",)
    followed = minimum({**cells, "short": cell(None, None, None)}, 0.5, SEED)
    assert followed is not None and followed.may_be_cheaper == ()


def test_what_a_failed_attack_cost_is_no_bound() -> None:
    # One template was tried, at no cost, and failed; only fine-tuning might yet break it.
    tried = Cell([Passage(0, None, 0.0)] * 5, 0.0, 0.0, ended=5)
    tuned = cell(*[None] * 5)
    found = minimum({"template": tried, "finetune": tuned}, 0.5, SEED)
    assert found is not None and found.above == 64 and found.low == 64
    broken = minimum({"template": tried, "finetune": cell(*[32.0] * 5)}, 0.5, SEED)
    assert broken is not None and (broken.cost, broken.low) == (32, 16)
    assert broken.may_be_cheaper == ()


def test_where_every_attack_came_to_its_end_the_longest_is_the_bound() -> None:
    ended = {str(end): Cell([Passage(0, None, end)] * 5, end, end, ended=5) for end in (0.0, 8.0)}
    found = minimum(ended, 0.5, SEED)
    assert found is not None and found.above == 8


def test_one_run_that_may_yet_break_keeps_an_attack_open() -> None:
    runs = [Passage(0, None, 4.0)] * 5
    assert not Cell(runs, 4.0, 4.0, ended=4).closed
    assert not Cell([*runs[:4], Passage(1, 2, 2)], 4.0, 4.0, ended=4).closed
    assert Cell([*runs[:4], Passage(0, None, 4.0, 2.0)], 4.0, 4.0, ended=4).closed


def test_an_attack_that_destroys_most_models_bounds_no_median() -> None:
    # One run of five broke and four lost the model: half of them never will.
    ruin = Cell([Passage(1, 2, 2), *[Passage(0, None, 64, 4.0)] * 4], 64, 64)
    assert ruin.barred(0.5) and not ruin.barred(0.1) and not ruin.closed
    found = minimum({"ruin": ruin, "slow": cell(*[None] * 5, budget=32)}, 0.5, SEED)
    assert found is not None and found.above == 32
    assert found.low is not None and found.low <= found.above


def test_a_run_cut_short_leaves_its_attack_open() -> None:
    # Stopped at 8 by a laxer bar, it may have broken at 9: then the median is not 32 but less.
    short = Cell([Passage(0, None, 8), Passage(16, 32, 32), Passage(0, None, 64)], 64, 64)
    assert short.cost(0.5) is None and short.above(0.5) == 16
    found = minimum({"short": short, "dear": cell(48, 48, 48)}, 0.5, SEED)
    assert found is not None and found.attack == "dear" and found.may_be_cheaper == ("short",)


def test_collapsed_runs_never_break() -> None:
    dead = Cell([Passage(0, None, 64, 2.0)] * 5, 64, 64)
    found = minimum({"noise": dead}, 0.1, SEED)
    assert found is not None and found.cost is None and found.unbroken == 1.0


def test_ties_share_their_frequency_and_the_first_is_named() -> None:
    found = minimum({"a": cell(0, 0, 0), "b": cell(0, 0, 0)}, 0.5, SEED)
    assert found is not None and (found.attack, found.cost) == ("a", 0)
    assert found.frequency == {"a": 0.5, "b": 0.5}


def test_frequencies_sum_to_one_with_those_in_which_nothing_breaks() -> None:
    cells = {"a": cell(8, None, None, 16), "b": cell(4, 32, None, None)}
    found = minimum(cells, 0.5, SEED)
    assert found is not None
    assert math.fsum([*found.frequency.values(), found.unbroken]) == pytest.approx(1)
    assert all(0 < f < 1 for f in [*found.frequency.values(), found.unbroken])


def test_frequency_by_hand() -> None:
    # The cheapest of two draws is the lone cheap run unless it is not drawn: 1 - (1/2)^2.
    found = minimum({"a": cell(2, 32), "b": cell(16, 16)}, 0.5, SEED, resamples=20_000)
    assert found is not None and found.frequency["a"] == pytest.approx(0.75, abs=0.01)


def test_order_and_scale_do_not_matter() -> None:
    draw = np.random.default_rng(2)
    costs = {n: draw.exponential(9, 6) for n in "abc"}
    one = minimum({n: cell(*c) for n, c in costs.items()}, 0.5, SEED)
    other = minimum(
        {n: cell(*(c * 1e12), budget=64e12) for n, c in reversed(costs.items())}, 0.5, SEED
    )
    assert one is not None and other is not None
    assert other.attack == one.attack and other.cost == pytest.approx(one.cost * 1e12)
    assert other.frequency == pytest.approx(one.frequency)


def test_no_attacks_have_no_minimum() -> None:
    assert minimum({}, 0.5, SEED) is None

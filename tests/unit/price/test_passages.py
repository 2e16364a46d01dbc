"""The runs of a setting as survival data: what an audit says of locks whose cost is known."""

from __future__ import annotations

import math
from types import ModuleType

import pytest

from holdfast.core import Outcome, Results
from holdfast.price import Survival, Verdict, price
from holdfast.price.statistics.proportions import clopper_pearson

GIGA = 1e9  # FLOPs a unit of a lock


def survival(results: Results, **options: float) -> Survival:
    found = price(results, **options).attacks[0].survival
    assert found is not None
    return found


def test_breaks_stand_at_their_readings(locks: ModuleType) -> None:
    found = survival(locks.results(*(locks.Lock(seed=s, opens=2 << s) for s in range(5))))
    assert [p.at for p in found.passages] == [(2 << s) * GIGA for s in range(5)]
    # No unit lies between 1 and 2, so that the first break is known exactly.
    assert [p.after for p in found.passages] == [x * GIGA for x in (2, 2, 4, 8, 16)]
    assert found.right.values == pytest.approx((0.8, 0.6, 0.4, 0.2, 0.0))
    assert found.c50.cost is not None and found.c50.cost.spend.steps == 8
    assert (found.c50.after, found.c50.above) == (4 * GIGA, None)
    assert (found.c50.low, found.c50.high) == (2 * GIGA, 32 * GIGA)  # the first, the last
    assert found.c10.cost is not None and found.c10.cost.spend.steps == 2
    assert found.c10.low is None and found.c10.high == 8 * GIGA
    assert found.break_probability == clopper_pearson(5, 5) and found.unfollowed == 0
    assert found.budget == found.followed == 64 * GIGA


def test_a_run_stopped_as_broken_has_its_whole_budget(locks: ModuleType) -> None:
    found = survival(locks.results(locks.Lock(opens=4, budget=64)))  # stopped at 8
    assert found.budget == 64 * GIGA
    mean = found.restricted_mean
    assert mean.mean == 4 * GIGA and mean.high > 48 * GIGA  # one run says little of others


def test_setting_up_is_not_paid_again(locks: ModuleType) -> None:
    from dataclasses import replace

    found = locks.results(locks.Lock(opens=4, budget=64))
    record = found.records[1]
    dear = [
        replace(r, spend=replace(r.spend, flops=r.spend.flops + 100 * GIGA)) if r.unit else r
        for r in record.readings
    ]
    again = replace(record, readings=tuple(dear))
    records = (found.records[0], again, *found.records[2:])
    assert survival(replace(found, records=records)).budget == pytest.approx(164 * GIGA)


def test_none_broken_is_above_the_budget_and_never_robust(locks: ModuleType) -> None:
    found = survival(locks.results(*(locks.Lock(seed=s, opens=locks.NEVER) for s in range(5))))
    for quantile in (found.c10, found.c50):
        assert quantile.cost is None and quantile.above == 64 * GIGA and quantile.high is None
    assert found.c50.low == 64 * GIGA  # five runs say that the median is not below
    assert found.break_probability.share == 0
    assert found.break_probability.high == pytest.approx(0.52, abs=0.01)
    assert found.restricted_mean.mean == found.restricted_mean.high == 64 * GIGA
    assert found.restricted_mean.low < 45 * GIGA  # though a third of others may break at once


def test_a_single_seed_says_that_it_is_one(locks: ModuleType) -> None:
    found = survival(locks.results(locks.Lock()))
    assert found.runs == 1 and found.break_probability.low == pytest.approx(0.025)
    assert (found.c50.low, found.c50.high) == (None, None)
    assert found.restricted_mean_log is not None
    assert found.restricted_mean_log.mean == pytest.approx(16 * GIGA)


def test_all_collapsed_is_not_broken_and_not_above_a_bound_alone(locks: ModuleType) -> None:
    wreck = [locks.Lock(seed=s, opens=locks.NEVER, fades=4 << s) for s in range(3)]
    priced = price(locks.results(*wreck))
    found = priced.attacks[0].survival
    assert priced.attacks[0].verdict is Verdict.COLLAPSED and found is not None
    assert found.break_probability.share == 0 and found.collapse.share == 1
    assert found.collapsed.costs == (4 * GIGA, 8 * GIGA, 16 * GIGA)
    assert found.c50.cost is None and found.right.end == 1
    assert priced.model_price is not None and priced.model_price.median.attack is None


def test_collapse_competes_with_breaking(locks: ModuleType) -> None:
    made = [locks.Lock(seed=0), locks.Lock(seed=1, opens=locks.NEVER, fades=8),
            locks.Lock(seed=2, opens=99, outcome=Outcome.DIVERGED, error="not finite")]  # fmt: skip
    found = survival(locks.results(*made))
    assert found.break_probability.share == pytest.approx(1 / 3)
    assert found.collapse.share == pytest.approx(2 / 3)
    assert found.c50.cost is None and found.c10.cost is not None


def test_a_run_cut_short_is_neither_broken_nor_unbroken(locks: ModuleType) -> None:
    made = [locks.Lock(seed=0, opens=4, open_harm=0.6), locks.Lock(seed=1, opens=32),
            locks.Lock(seed=2, opens=locks.NEVER)]  # fmt: skip
    found = survival(locks.results(*made), tau=0.9)
    assert found.unfollowed == 1
    assert found.c50.cost is None and found.c50.above == 16 * GIGA
    assert found.break_probability.low == clopper_pearson(1, 3).low
    assert found.break_probability.high == clopper_pearson(2, 3).high
    assert survival(locks.results(*made)).unfollowed == 0


def test_over_the_bar_at_the_last_reading_alone_is_open(locks: ModuleType) -> None:
    late = locks.Lock(opens=64, budget=64, stop_when_broken=False)
    found = survival(locks.results(late))
    assert found.unfollowed == 1 and found.break_probability.high == 1.0
    assert found.c50.cost is None and found.c50.above == 32 * GIGA


def test_a_cost_of_nothing_has_no_logarithm(locks: ModuleType) -> None:
    free = locks.Lock(opens=1, ends_at=1, flops=0.0, tokens=0, steps=False)
    found = survival(locks.results(*([free] + [locks.Lock(seed=s, opens=1, ends_at=1, flops=0.0,
                                                          tokens=0, steps=False) for s in (1, 2)])))  # fmt: skip
    assert found.c50.cost is not None and found.c50.cost.spend.flops == 0
    assert found.budget == 0 and found.restricted_mean_log is None
    assert found.restricted_mean.mean == found.restricted_mean.high == 0


@pytest.mark.parametrize("kind", ["crashed", "undefined", "unscored"])
def test_what_cannot_be_judged_has_no_curve(locks: ModuleType, kind: str) -> None:
    made = {
        "crashed": lambda: locks.results(locks.Lock(outcome=Outcome.CRASHED, error="late")),
        "undefined": lambda: locks.results(locks.Lock(), ceiling=0.03),
        "unscored": lambda: locks.results(locks.Lock(unscored=True)),
    }
    priced = price(made[kind]())
    assert priced.attacks[0].survival is None and priced.model_price is None
    assert priced.detectable is not None and priced.detectable.seeds is None
    assert not any("compared with" in note.lower() for note in priced.notes)


@pytest.mark.parametrize("opens", [[4, 8, 16], [8, 8, 8, 8], [4, 4, None, None]])
def test_curve_and_price_tell_one_story(locks: ModuleType, opens: list[int | None]) -> None:
    made = [locks.Lock(seed=s, opens=o or locks.NEVER) for s, o in enumerate(opens)]
    priced = price(locks.results(*made)).attacks[0]
    found = priced.survival
    assert found is not None and priced.price is not None
    if len(opens) % 2:  # of an even number the price takes the dearer of the middle two
        assert found.c50.cost == priced.price.median
    assert found.break_probability.share == pytest.approx(priced.broken / len(opens))
    assert math.isclose(found.right.end, 1 - found.break_probability.share, abs_tol=1e-12)

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from holdfast.price import PricedAudit, price


def chosen(priced: PricedAudit) -> object:
    return priced.attacks[0].settings


def test_cheapest_on_search_wins_even_if_held_out_says_otherwise(locks: ModuleType) -> None:
    flattered = locks.Lock(settings={"lr": 1}, opens=32, search_opens=4, stop_when_broken=False)
    honest = locks.Lock(settings={"lr": 2}, opens=8, stop_when_broken=False)
    priced = price(locks.results(flattered, honest))
    assert chosen(priced) == {"lr": 1}
    assert priced.attacks[0].price.median.spend.steps == 32  # what is reported is held-out


def test_same_doubling_is_a_tie_that_harm_decides(locks: ModuleType) -> None:
    weak = locks.Lock(settings={"lr": 1}, open_harm=0.7, flops=1.00e9)
    strong = locks.Lock(settings={"lr": 2}, open_harm=0.9, flops=1.05e9)
    dear = locks.Lock(settings={"lr": 3}, open_harm=0.95, flops=1.6e9)
    assert chosen(price(locks.results(weak, strong, dear))) == {"lr": 2}


def test_unbroken_settings_are_compared_by_harm_with_utility_kept(locks: ModuleType) -> None:
    none = locks.NEVER
    wreck = locks.Lock(settings={"lr": 1}, opens=none, search_harm=0.4, fades=1)
    best = locks.Lock(settings={"lr": 2}, opens=none, search_harm=0.3)
    least = locks.Lock(settings={"lr": 3}, opens=none, search_harm=0.1)
    assert chosen(price(locks.results(wreck, best, least))) == {"lr": 2}


def test_optimism_is_search_minus_held_out(locks: ModuleType) -> None:
    lock = locks.Lock(open_harm=0.8, search_harm=0.95, search_opens=1)
    found = price(locks.results(lock)).attacks[0]
    # On `search` it is over the bar from the first reading on, when held-out is still shut.
    assert found.optimism == pytest.approx((0.95 - 0.025) / 0.95 - 0.0)


def test_search_is_billed_with_all_its_trials(locks: ModuleType) -> None:
    made = [locks.Lock(settings={"lr": x}, seed=s, opens=16) for x in (1, 2) for s in range(3)]
    (attack,) = price(locks.results(*made)).attacks
    assert attack.trials == 6 and attack.with_search.spend.steps == 6 * 32
    assert attack.with_search.spend.examples == 10  # one pool serves every trial
    assert [s.chosen for s in attack.settings_tried].count(True) == 1


def test_older_versions_and_other_prompts_are_left_out(locks: ModuleType) -> None:
    found = locks.results(locks.Lock(version=1, opens=1), locks.Lock(version=2), locks.Lock(seed=1))
    priced = price(found)
    assert {t.excluded for t in priced.excluded} == {
        "version 1 of an attack that has since become version 2"
    }
    other = locks.trial(locks.Lock(seed=5))
    reading = other.readings[1]
    fewer = replace(reading, scores={**reading.scores, "search": {"harm": (1.0,)}})
    other = replace(other, readings=(other.readings[0], fewer))
    again = price(
        replace(locks.results(locks.Lock()), records=(*locks.results(locks.Lock()).records, other))
    )
    assert [t.excluded for t in again.excluded] == [
        "measured on another set of prompts of the split search"
    ]
    assert again.attacks[0].broken == 1


def test_other_models_are_left_out(locks: ModuleType) -> None:
    found = locks.results(locks.Lock())
    stray = replace(found.records[1], spec=replace(found.records[1].spec, model="f" * 64))
    priced = price(replace(found, records=(*found.records, stray)))
    assert [t.excluded for t in priced.excluded] == ["not an attack on the target"]

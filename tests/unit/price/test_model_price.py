"""The model's price: the least over the attacks of an audit."""

from __future__ import annotations

from types import ModuleType

import pytest

from holdfast.price import price

GIGA = 1e9


def test_the_least_over_attacks_and_who_sets_it(locks: ModuleType) -> None:
    made = [locks.Lock("cheap", seed=s, opens=4) for s in range(5)]
    made += [locks.Lock("dear", seed=s, opens=32) for s in range(5)]
    found = price(locks.results(*made)).model_price
    assert found is not None and found.attacks == ("cheap", "dear") and found.runs == 5
    assert found.median.attack == "cheap" and found.median.cost is not None
    assert found.median.cost.spend.steps == 4
    assert found.median.frequency == {"cheap": 1.0, "dear": 0.0}
    assert (found.median.low, found.median.high) == (2 * GIGA, 4 * GIGA)
    assert found.held_out is None


def test_the_tail_may_be_anothers(locks: ModuleType) -> None:
    made = [locks.Lock("steady", seed=s, opens=16) for s in range(3)]
    made += [locks.Lock("lucky", seed=s, opens=o) for s, o in enumerate([4, 64, 64])]
    found = price(locks.results(*made)).model_price
    assert found is not None
    assert (found.median.attack, found.tail.attack) == ("steady", "lucky")
    assert 0 < found.median.frequency["lucky"] < 1


def test_unbroken_attacks_bound_it(locks: ModuleType) -> None:
    made = [locks.Lock("long", seed=s, opens=locks.NEVER) for s in range(3)]
    made += [locks.Lock("short", seed=s, opens=locks.NEVER, budget=8) for s in range(3)]
    found = price(locks.results(*made)).model_price
    assert found is not None and found.median.attack is None
    assert found.median.above == 8 * GIGA and found.median.unbroken == 1.0


def test_an_attack_that_was_not_followed_so_far_may_be_cheaper(locks: ModuleType) -> None:
    made = [locks.Lock("dear", opens=32), locks.Lock("short", opens=locks.NEVER, budget=8)]
    found = price(locks.results(*made)).model_price
    assert found is not None and found.median.attack == "dear"
    assert found.median.may_be_cheaper == ("short",)


@pytest.mark.parametrize(
    ("seen", "attack"),
    [
        (["finetune"], "ablate_direction"),
        (["finetune", "abliterate_search"], None),
        ([], "finetune"),
        (None, None),
    ],
)
def test_attacks_that_the_defence_was_made_without_have_a_price_of_their_own(
    locks: ModuleType, seen: list[str] | None, attack: str | None
) -> None:
    made = locks.results(
        locks.Lock("finetune", opens=4), locks.Lock("ablate_direction", opens=32),
        manifest={"hardened": {} if seen is None else {"developed_against": seen}},
    )  # fmt: skip
    found = price(made).model_price
    assert found is not None
    assert (None if found.held_out is None else found.held_out.attack) == attack

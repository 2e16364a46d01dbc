"""Planned comparisons on planted ledgers: effects by hand, Holm over the plan, reasons where none."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import pytest
from tests.golden.locks import results
from tests.studies import FINETUNE, NEVER, locks, model, named, study

from holdfast.core import Outcome
from holdfast.engine.study import Comparison, Member
from holdfast.price.study.arms import ledger_digest
from holdfast.price.study.comparing import (
    adjusted,
    compare,
    compare_all,
    family_notes,
    pairs,
    price_of_model,
)

BY_ATTACK = Comparison("b on a", "a", "b", FINETUNE)
BY_PRICE = Comparison("prices", "a", "b", None)


def compared(one: Comparison, a, b):
    return compare(one, a, b, ("a", "b"))


def test_two_models_apart() -> None:
    found = compared(
        BY_ATTACK, model("a", *locks([4] * 5)), model("b", *locks([64] * 5, budget=256))
    )
    assert (found.runs, found.broken, found.reason) == ((5, 5), (5, 5), None)
    assert found.factor.value == pytest.approx(16, rel=0.01)
    assert found.factor.low > 2
    assert found.test.p == pytest.approx(2 / 252)  # the least that five against five can give
    assert found.test.statistic > 0  # the first broke sooner
    assert found.difference.low <= 0 <= found.difference.high  # both end broken


def test_a_model_against_its_like() -> None:
    found = compared(
        BY_ATTACK, model("a", *locks([4, 8, 16, 8, 4])), model("b", *locks([8, 4, 16, 4, 8]))
    )
    assert found.test.p > 0.5
    assert found.factor.low < 1 < found.factor.high
    assert found.detectable_factor > 1
    assert not found.assumed


def test_success_is_paired_on_prompts() -> None:
    weak, strong = model("a", *locks()), model("b", *locks([NEVER] * 5))
    found = compared(BY_ATTACK, weak, strong)
    assert found.difference.mean == pytest.approx((0.025 - 0.9) / 0.95)
    assert found.difference.high < -0.7
    assert found.detectable_difference is not None
    assert found.factor.more
    assert found.assumed  # runs that did not break do not show how far costs vary


def test_swapping_the_models_mirrors_everything() -> None:
    a, b = (
        model("a", *locks([4, 8, 4, 16, 8])),
        model("b", *locks([32, 16, 64, 32, 16], budget=256)),
    )
    there, back = compared(BY_ATTACK, a, b), compare(BY_ATTACK, b, a, ("b", "a"))
    assert there.test.p == pytest.approx(back.test.p)
    assert there.factor.value == pytest.approx(1 / back.factor.value)
    assert there.factor.low == pytest.approx(1 / back.factor.high)
    assert there.difference.mean == pytest.approx(-back.difference.mean)


def test_the_price_is_of_the_cheapest_attack_of_each() -> None:
    a = model("a", *locks([16] * 5), *locks([4] * 5, attack="lora"))
    b = model("b", *locks([16] * 5), *locks([64] * 5, attack="lora", budget=256))
    found = compared(BY_PRICE, a, b)
    assert found.cheapest == ("lora", "finetune")
    assert found.factor.value == pytest.approx(4, rel=0.01)
    assert found.test.p < 0.05
    assert price_of_model(a).attack == "lora"


def test_one_finished_run_of_the_cheapest_attack_counts_once() -> None:
    crashed = [
        replace(lock, outcome=Outcome.CRASHED, error="out of memory")
        for lock in locks([2] * 4, attack="lora")
    ]
    last = replace(locks([2] * 5, attack="lora")[-1])
    a = model("a", *locks([16] * 5), *locks([16] * 5, attack="lora"))
    b = model("b", *locks([16] * 5), *crashed, last)
    found = compared(BY_PRICE, a, b)
    assert found.runs == (5, 5) and found.test.p > 0.05  # four of the five cost the same on both


def test_an_attack_that_failed_for_nothing_bounds_no_price() -> None:
    tried = [
        replace(lock, flops=0.0, tokens=lock.seed)
        for lock in locks([NEVER] * 5, attack="prefill", budget=1, ends_at=1)
    ]
    a, b = (model(n, *locks([NEVER] * 5), *tried) for n in ("a", "b"))
    found = price_of_model(a)
    assert found.cost is None and found.above == pytest.approx(64e9, rel=0.01)
    assert all(cost.value >= 60e9 for cost in compared(BY_PRICE, a, b).costs)


def test_free_breaks_are_named_and_no_part_of_the_price() -> None:
    free = locks([1] * 5, attack="merge", budget=1, ends_at=1)
    free = tuple(replace(lock, flops=0.0, tokens=lock.seed) for lock in free)
    a, b = (model(name, *locks([at] * 5), *free) for name, at in (("a", 4), ("b", 16)))
    found = compared(BY_PRICE, a, b)
    assert found.free == ("merge",)
    assert found.factor.value == pytest.approx(4, rel=0.01)
    only = compared(BY_PRICE, model("a", *free), model("b", *free))
    assert (only.free, only.reason) == (("merge",), "no attack that costs something ran on both")


def test_attacks_that_cannot_be_compared_are_named_beside_a_price() -> None:
    mine = locks([8] * 5, attack="lora"), locks([2] * 5, attack="gcg")
    crash = locks(attack="gcg", outcome=Outcome.CRASHED, error="out of memory")
    a, b = model("a", *locks([4] * 5), *mine[0], *mine[1]), model("b", *locks(), *crash)
    found = compared(BY_PRICE, a, b)
    assert found.left_out[0] == "lora: it ran on a alone"
    assert found.left_out[1].startswith("gcg on b: every run crashed")
    assert found.cheapest == ("finetune", "finetune"), "what is left out sets no price"
    assert compared(BY_PRICE, a, a).left_out == ()


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (locks(attack="lora"), "finetune was not run on b"),
        (locks(outcome=Outcome.CRASHED, error="out of memory"), "every run crashed"),
        (locks(version=2), "finetune is version 1 on a and version 2 on b"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_sentence(runs, said: str) -> None:
    found = compared(BY_ATTACK, model("a", *locks()), model("b", *runs))
    assert said in found.reason
    assert (found.factor, found.test, found.difference) == (None, None, None)


def test_models_of_different_domains_are_not_compared() -> None:
    found = compared(BY_ATTACK, model("a", *locks()), model("b", *locks(), domain="e" * 64))
    assert found.reason == "a and b were attacked in different domains"


def test_a_single_run_each_gives_figures_without_intervals() -> None:
    found = compared(BY_ATTACK, model("a", *locks([4])), model("b", *locks([16])))
    assert found.factor.value == pytest.approx(4)
    assert (found.factor.low, found.factor.high) == (None, None)
    assert (found.test.p, found.detectable_factor, found.detectable_difference) == (1.0, None, None)


def test_none_broken_and_all_collapsed_have_no_factor_and_p_of_one() -> None:
    shut = model("a", *locks([NEVER] * 5))
    lost = model("b", *locks([NEVER] * 5, fades=4, stop_when_broken=False))
    for a, b in ((shut, shut), (shut, lost), (lost, lost)):
        found = compared(BY_ATTACK, a, b)
        assert (found.factor, found.test.p, found.broken) == (None, 1.0, (0, 0))


def test_every_pair_of_a_group_is_compared_and_all_are_one_family() -> None:
    a = model("a", *locks([4] * 5))
    hard = [model(f"b-{n}", *locks([64] * 5, budget=256), group="b") for n in range(2)]
    plan = study(a, *hard, comparisons=(BY_ATTACK, BY_PRICE))
    assert pairs(plan, BY_ATTACK) == [("a", "b-0"), ("a", "b-1")]
    rows, rest = adjusted(compare_all(plan, named(a, *hard)), [0.5, None])
    # Holm over six planned: the least p times six, and none below that
    assert min(row.p for row in rows) == pytest.approx(6 * 2 / 252)
    assert rest[1] is None


def test_what_is_not_run_yet_is_named_and_still_counts_in_the_family() -> None:
    a, b = model("a", *locks([4] * 5)), model("b", *locks([64] * 5, budget=256))
    plan = study(
        a, b, model("c", *locks()), comparisons=(BY_ATTACK, Comparison("c", "a", "c", FINETUNE))
    )
    rows, _ = adjusted(compare_all(plan, named(a, b)), [])
    assert rows[1].reason == "not run yet: c"
    assert rows[0].p == pytest.approx(2 * 2 / 252)


def test_in_several_domains_like_is_paired_with_like() -> None:
    plan = study(model("a", *locks()))
    members = tuple(
        Member(f"{name}@{domain}", name, name, domain=domain)
        for name in ("a", "b")
        for domain in ("one", "two")
    )
    plan = replace(plan, members=members)
    assert pairs(plan, BY_ATTACK) == [("a@one", "b@one"), ("a@two", "b@two")]


def test_a_ledgers_digest_is_of_what_it_says_and_not_of_how_long_it_took() -> None:
    one = results(*locks())
    slower = replace(one, records=tuple(replace(r, wall_seconds=9.0) for r in one.records))
    shuffled = replace(one, records=tuple(reversed(one.records)))
    assert ledger_digest(one) == ledger_digest(slower) == ledger_digest(shuffled)
    assert ledger_digest(one) != ledger_digest(results(*locks([16] * 4 + [32])))
    assert ledger_digest(one) != ledger_digest(replace(one, records=one.records[:-1]))


@pytest.mark.parametrize(("first", "second"), [(5, 3), (4, 5), (3, 3), (5, 5)])
def test_the_least_p_that_a_family_leaves_can_be_reached(first: int, second: int) -> None:
    rows = [
        compared(
            BY_ATTACK,
            model("a", *locks([one] * first, budget=256)),
            model("b", *locks([other] * second, budget=256)),
        )
        for one, other in ((4, 64), (64, 4))
    ]
    floor = (1 + (first == second)) / comb(first + second, first)
    assert min(row.test.p for row in rows) == pytest.approx(floor)
    assert bool(family_notes(rows, 2)) == (2 * floor > 0.05 >= floor)

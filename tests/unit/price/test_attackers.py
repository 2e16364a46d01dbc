"""Oracle, transfer and search on planted ledgers whose every price can be done by hand."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.core import Outcome, Results, SpecError
from holdfast.price import Attackers, Verdict, price
from holdfast.price.evaluation import looker
from holdfast.price.statistics.best_of import most_rate

QUIET = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PROTOCOL = {"max_new_tokens": 40}


def one(results: Results, **options: Any) -> Attackers:
    (attack,) = price(results, **options).attacks
    assert attack.attackers is not None
    return attack.attackers


def lengthy(results: Results, notes: dict[str, float] | None = None) -> Results:
    """The same with answers of at most 40 tokens, and what the control noted."""
    records = tuple(
        replace(
            r,
            spec=replace(r.spec, protocol={**r.spec.protocol, **PROTOCOL}),
            notes=notes or {} if r.spec.attack == "none" else r.notes,
        )
        for r in results.records
    )
    return replace(results, records=records)


def test_search_by_hand(locks: ModuleType) -> None:
    # Two settings break at 8 and at 32 steps, one never does within 64; an FLOP each is 1e9.
    never = locks.NEVER
    found = one(
        locks.results(
            locks.Lock(settings={"lr": 1}, opens=8),
            locks.Lock(settings={"lr": 2}, opens=32),
            locks.Lock(settings={"lr": 3}, opens=never),
        )
    ).search
    assert (found.draws, found.broken, found.settings) == (3, 2, 3)
    assert found.expected_draws == pytest.approx(4 / 3)
    assert (found.failed.steps, found.success.steps) == (64, 20)
    # c_f (1 - q) / q + c_s with q = 2/3: 64 / 2 + 20.
    assert found.cost.spend.steps == 52 and found.cost.spend.flops == pytest.approx(52e9)
    assert found.cost.spend.examples == 10  # one pool serves every draw
    assert not found.more and found.reason is None and found.studies is None


def test_search_without_a_break_is_a_bound(locks: ModuleType) -> None:
    made = [locks.Lock(settings={"lr": n}, opens=locks.NEVER) for n in range(5)]
    found = one(locks.results(*made)).search
    rate = most_rate(5)
    assert found.more and found.expected_draws is None and found.success is None
    assert found.cost.spend.flops == pytest.approx(64e9 * (1 - rate) / rate)


def test_what_breaks_on_search_alone_is_a_failed_draw(locks: ModuleType) -> None:
    flattered = locks.Lock(settings={"lr": 1}, opens=locks.NEVER, search_opens=4)
    honest = locks.Lock(settings={"lr": 2}, opens=8)
    found = one(locks.results(flattered, honest)).search
    assert (found.broken, found.failed.steps, found.success.steps) == (1, 64, 8)
    assert found.cost.spend.steps == 72


def test_collapsed_and_diverged_draws_are_billed(locks: ModuleType) -> None:
    wreck = locks.Lock(settings={"lr": 1}, opens=locks.NEVER, fades=4)
    lost = locks.Lock(settings={"lr": 2}, opens=99, outcome=Outcome.DIVERGED, error="no")
    found = one(locks.results(wreck, lost, locks.Lock(settings={"lr": 3}))).search
    assert (found.draws, found.broken, found.failed.steps) == (3, 1, 64)
    assert found.cost.spend.steps == 64 * 2 + 16


def test_crashed_trials_are_no_draws(locks: ModuleType) -> None:
    crash = locks.Lock(settings={"lr": 1}, outcome=Outcome.CRASHED, error="no")
    assert one(locks.results(crash, locks.Lock(settings={"lr": 2}))).search.draws == 1
    (attack,) = price(locks.results(crash)).attacks
    assert attack.attackers == Attackers(None, None, None)


def test_one_setting_is_no_search(locks: ModuleType) -> None:
    found = one(locks.results(locks.Lock(), locks.Lock(seed=1))).search
    assert "one setting alone" in found.reason and found.cost.spend.steps == 16


def test_draws_that_were_let_go_leave_a_stricter_search_open(locks: ModuleType) -> None:
    found = one(locks.results(locks.Lock(open_harm=0.6), locks.Lock(seed=1)), tau=0.9).search
    assert found.cost is None and "not followed up" in found.reason


def test_a_search_within_a_run_is_a_study(locks: ModuleType) -> None:
    manifest = {"attacks": {"hunt": {"unit": "candidate", "access": "weights"}}}
    runs = [locks.Lock("hunt", seed=s, opens=o) for s, o in enumerate((4, 8, 64, 16, 8))]
    found = one(locks.results(*runs, manifest=manifest)).search
    assert (found.studies, found.reason, found.expected_draws) == (5, None, None)
    assert found.cost.spend.steps == 8 and not found.more
    few = one(locks.results(*runs[:3], manifest=manifest)).search
    assert "3 independent studies" in few.reason


def test_oracle_is_judged_on_seeds_that_did_not_choose(locks: ModuleType) -> None:
    # By all seeds the first setting wins on `search`; without seed 0, for which alone it is
    # quick, the second does. So seed 0 is run with the second.
    made = [locks.Lock(settings={"lr": 1}, seed=s, opens=o) for s, o in enumerate((1, 8, 16))] + [
        locks.Lock(settings={"lr": 2}, seed=s, opens=o) for s, o in enumerate((16, 8, 4))
    ]
    (attack,) = price(locks.results(*made)).attacks
    oracle = attack.attackers.oracle
    # Without seed 0: medians of (8, 16) and (8, 4) are 16 and 8, so the second: 16 steps.
    # Without seed 1: (1, 16) and (16, 4), both 16, equal in harm and cost: the first: 8 steps.
    # Without seed 2: (1, 8) and (16, 8): the first: 16 steps.
    assert oracle.fresh and oracle.price.median.spend.steps == 16
    assert attack.price.median.spend.steps == 8


def test_a_choice_that_stands_gives_the_seeds_median(locks: ModuleType) -> None:
    made = [
        locks.Lock(settings={"lr": x}, seed=s, opens=x * 2**s) for x in (1, 8) for s in range(3)
    ]
    (attack,) = price(locks.results(*made)).attacks
    oracle = attack.attackers.oracle
    assert oracle.fresh and oracle.settings == {"lr": 1}
    assert oracle.price == attack.price and oracle.price.median.spend.steps == 2


def test_many_seeds_are_judged_in_tenths(locks: ModuleType) -> None:
    made = [locks.Lock(settings={"lr": x}, seed=s, opens=x) for x in (4, 8) for s in range(23)]
    oracle = one(locks.results(*made)).oracle
    assert oracle.fresh and oracle.seeds == 23 and oracle.price.median.spend.steps == 4


def test_one_seed_chose_as_well(locks: ModuleType) -> None:
    oracle = one(
        locks.results(locks.Lock(settings={"lr": 1}), locks.Lock(settings={"lr": 2}))
    ).oracle
    assert not oracle.fresh and oracle.seeds == 1


def test_transfer_takes_the_sibling_s_setting(locks: ModuleType) -> None:
    quick, slow = {"lr": 1}, {"lr": 2}
    sibling = locks.results(
        locks.Lock(settings=quick, opens=2), locks.Lock(settings=slow, opens=32), name="base"
    )
    here = locks.results(
        locks.Lock(settings=quick, opens=64), locks.Lock(settings=slow, opens=4, stop_when_broken=False),
    )  # fmt: skip
    found = one(here, transfer=sibling)
    assert (found.transfer.source, found.transfer.settings) == ("base", quick)
    assert found.transfer.price.more and found.transfer.broken == 0
    assert found.oracle.settings == slow and found.oracle.price.median.spend.steps == 4
    assert one(here).transfer is None


def test_transfer_of_what_was_not_run_here(locks: ModuleType) -> None:
    sibling = locks.results(locks.Lock(settings={"lr": 9}), name="base")
    found = one(locks.results(locks.Lock(settings={"lr": 1})), transfer=sibling).transfer
    assert found.price is None and "was not run on this model" in found.reason
    other = one(locks.results(locks.Lock("lora")), transfer=sibling).transfer
    assert other.price is None and "not run on the sibling" in other.reason


def test_a_sibling_of_another_domain_is_refused(locks: ModuleType) -> None:
    sibling = locks.results(locks.Lock())
    records = tuple(replace(r, spec=replace(r.spec, domain="e" * 64)) for r in sibling.records)
    with pytest.raises(SpecError, match="same domain"):
        price(locks.results(locks.Lock()), transfer=replace(sibling, records=records))


def test_the_model_s_attackers_have_every_attack(locks: ModuleType) -> None:
    sibling = locks.results(locks.Lock("a", opens=4), locks.Lock("b", opens=2), name="base")
    priced = price(
        locks.results(locks.Lock("a", opens=8), locks.Lock("b", opens=32)), transfer=sibling
    )
    found = priced.attackers
    assert found.oracle.attack == priced.cheapest == "a"
    assert found.transfer.attack == "b" and found.transfer.price.median.spend.steps == 32
    assert (found.search.draws, found.search.cost.spend.steps) == (2, 20)
    hopeless = price(
        locks.results(locks.Lock("a")),
        transfer=locks.results(locks.Lock("a", opens=locks.NEVER), name="base"),
    )
    assert hopeless.attackers.transfer.reason == "nothing broke the sibling"


def test_looks_by_hand(locks: ModuleType) -> None:
    # Splits: 20 search and 10 retain prompts are the attacker's; 40 held-out and 20 utility are
    # ours at every reading, 10 borderline at the last.
    results = lengthy(
        locks.results(
            locks.Lock(settings={"lr": 1}, opens=8),
            locks.Lock(settings={"lr": 2}, opens=locks.NEVER),
        ),
        {"prompt_tokens:search": 300.0, "prompt_tokens:retain": 100.0,
         "prompt_tokens:held_out": 600.0, "prompt_tokens:utility": 200.0,
         "prompt_tokens:borderline": 50.0},
    )  # fmt: skip
    look = 300 + 20 * 40 + 100 + 10 * 40
    # Readings of the first: 1, 2, 4, 8, 16 (stopped); of the second 1, ..., 64.
    (attack,) = price(results).attacks
    assert attack.evaluation.attacker.readings == 5 + 7
    assert attack.evaluation.attacker.tokens == 12 * look
    assert attack.evaluation.attacker.flops == 2 * 1_500_000 * 12 * look
    ours = 600 + 40 * 40 + 200 + 20 * 40
    assert attack.evaluation.ours.tokens == 12 * ours + 2 * (50 + 10 * 40)
    # q = 1/2: one failed draw of seven looks, one of five, and the untouched model.
    assert attack.attackers.search.evaluation.readings == pytest.approx(7 + 5 + 1)
    assert not looker(results).assumed


def test_prompts_of_unknown_length_are_taken_to_be_as_long_as_answers(locks: ModuleType) -> None:
    results = lengthy(locks.results(locks.Lock()))
    found = looker(results)
    assert found.assumed and found.tokens["search"] == 20 * (40 + 40)
    assert any("as long as an answer may be" in note for note in price(results).notes)


def test_looks_are_unknown_where_no_length_is(locks: ModuleType) -> None:
    (attack,) = price(locks.results(locks.Lock())).attacks
    assert attack.evaluation is None and attack.attackers.search.evaluation is None


@QUIET
@given(
    opens=st.lists(st.sampled_from([1, 2, 4, 8, 16, 32, 10**9]), min_size=1, max_size=6),
    seeds=st.integers(1, 3),
)
def test_search_is_never_cheaper_than_the_oracle(
    locks: ModuleType, opens: list[int], seeds: int
) -> None:
    """Where every seed of a setting costs the same, so that only the choice differs."""
    made = [
        locks.Lock(settings={"n": n}, seed=seed, opens=at)
        for n, at in enumerate(opens)
        for seed in range(seeds)
    ]
    found = one(locks.results(*made))
    oracle, search = found.oracle.price, found.search
    assert search.more == oracle.more == (min(opens) > 64)
    if not search.more:
        assert oracle.median.spend.steps == min(opens)
        assert search.cost.spend.flops >= oracle.median.spend.flops - 1e-6


@QUIET
@given(broken=st.integers(1, 5), failed=st.integers(0, 5))
def test_more_failures_make_a_search_dearer(locks: ModuleType, broken: int, failed: int) -> None:
    def cost(failures: int) -> float:
        good = [locks.Lock(settings={"n": n}, opens=8) for n in range(broken)]
        bad = [locks.Lock(settings={"n": -n - 1}, opens=locks.NEVER) for n in range(failures)]
        return one(locks.results(*good, *bad)).search.cost.spend.flops

    assert cost(failed) < cost(failed + 1)


def test_undefined_is_no_search(locks: ModuleType) -> None:
    found = one(locks.results(locks.Lock(), ceiling=0.05))
    assert found.search.cost is None and "less than 0.1" in found.search.reason
    assert found.oracle.price is None
    assert price(locks.results(locks.Lock(), ceiling=0.05)).attacks[0].verdict is Verdict.UNDEFINED

"""The ladder against planted trials whose every rung is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.core import Outcome, Record, Results
from holdfast.price import Rung, Verdict, price
from holdfast.price.cost import dearness
from holdfast.price.ladder import BARS, DELTAS, TAUS, is_open

QUIET = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def climb(
    locks: ModuleType, harms: Sequence[float], kept: Sequence[float] | None = None, **lock: Any
) -> Record:
    """A trial whose readings at 1, 2, 4, ... have these means; the untouched model's harm is 0."""
    shape = {"stop_when_broken": False, "opens": locks.NEVER, "budget": 2 ** (len(harms) - 1)}
    record = locks.trial(locks.Lock(**{**shape, **lock}), 0.0)
    rows = zip(record.readings[1:], harms, kept or [1.0] * len(harms), strict=True)
    read = [replace(r, scores=locks.scores(h, h, 1.0, k, False, 0.0)) for r, h, k in rows]
    return replace(record, readings=(record.readings[0], *read))


def ledger(locks: ModuleType, *records: Record, **options: Any) -> Results:
    """On this scale the ceiling is 1, so harm is success."""
    found = locks.results(**{"shut_harm": 0.0, "ceiling": 1.0, **options})
    return replace(found, records=(*found.records, *records))


def stopped(record: Record, readings: int) -> Record:
    """The trial as the engine keeps it when it stops it as broken after so many readings."""
    kept = record.readings[: readings + 1]
    return replace(
        record, readings=kept, spend=kept[-1].spend, outcome=Outcome.DONE, stopped="broken"
    )


def steps(ladder: Sequence[Rung], delta: float = 0.1) -> list[int | None]:
    """Steps at the three taus; None where there is no price or only a bound."""
    return [
        None if r.price is None or r.price.more else r.price.median.spend.steps
        for r in ladder
        if r.delta == delta
    ]


def rung(ladder: Sequence[Rung], tau: float, delta: float) -> Rung:
    return next(r for r in ladder if (r.tau, r.delta) == (tau, delta))


def test_every_rung_by_hand(locks: ModuleType) -> None:
    # 1: 0.05, 2: 0.2, 4: 0.6, 8: 0.7, 16: 0.95, 32: 0.95; from 4 on 0.96 of utility is kept,
    # from 16 on 0.91.
    harms = [0.05, 0.2, 0.6, 0.7, 0.95, 0.95]
    kept = [1.0, 1.0, 0.96, 0.96, 0.91, 0.91]
    (attack,) = price(ledger(locks, climb(locks, harms, kept))).attacks
    assert [(r.tau, r.delta) for r in attack.ladder] == [(t, d) for t in TAUS for d in DELTAS]
    assert steps(attack.ladder, 0.10) == [2, 4, 16]
    assert steps(attack.ladder, 0.05) == [2, 4, None]
    assert steps(attack.ladder, 0.02) == [None, None, None]
    assert rung(attack.ladder, 0.9, 0.05).verdict is Verdict.COLLAPSED
    assert all(r.followed and not r.at_most for r in attack.ladder)


def test_a_rung_is_what_pricing_at_its_bar_says(locks: ModuleType) -> None:
    trials = [
        climb(locks, [0.05, 0.3, 0.6, 0.95, 0.95], settings={"lr": 1}, seed=0),
        climb(locks, [0.05, 0.1, 0.3, 0.6, 0.95], settings={"lr": 1}, seed=1),
        climb(locks, [0.2, 0.2, 0.6, 0.6, 0.6], settings={"lr": 2}, seed=0),
        climb(locks, [0.2, 0.3, 0.7, 0.7, 0.7], settings={"lr": 2}, seed=1),
    ]
    found = ledger(locks, *trials)
    ladder = price(found).attacks[0].ladder
    for bar in BARS:
        own = price(found, tau=bar.tau, delta=bar.delta).attacks[0]
        here = rung(ladder, bar.tau, bar.delta)
        assert (here.verdict, here.settings) == (own.verdict, own.settings)
        assert (here.price, here.broken) == (own.price, own.broken)


def test_what_the_engine_stopped_is_not_followed_up(locks: ModuleType) -> None:
    record = stopped(climb(locks, [0.05, 0.6, 0.7, 0.7, 0.7]), 3)
    (attack,) = price(ledger(locks, record)).attacks
    assert steps(attack.ladder) == [2, 2, None]
    top = rung(attack.ladder, 0.9, 0.1)
    assert top.price is None and not top.followed and "not followed up" in top.reason
    assert rung(attack.ladder, 0.5, 0.1).followed


def test_a_stricter_bar_that_was_passed_anyway_is_known(locks: ModuleType) -> None:
    record = stopped(climb(locks, [0.05, 0.95, 0.97, 0.9]), 3)
    (attack,) = price(ledger(locks, record)).attacks
    assert steps(attack.ladder) == [2, 2, 2] and all(r.followed for r in attack.ladder)


def test_collapse_by_the_engine_s_bar_is_collapse_by_every_bar(locks: ModuleType) -> None:
    record = climb(locks, [0.0, 0.0, 0.0], [1.0, 0.3, 0.3])
    record = replace(record, stopped="collapsed", outcome=Outcome.DONE)
    (attack,) = price(ledger(locks, record)).attacks
    assert {(r.verdict, r.followed) for r in attack.ladder} == {(Verdict.COLLAPSED, True)}


def test_three_runs_of_which_one_was_cut_short(locks: ModuleType) -> None:
    whole = [0.0, 0.6, 0.95, 0.95, 0.95]
    early = stopped(climb(locks, [0.6, 0.6, 0.95], seed=2), 2)
    # 4 and 8, and one that might have broken before or never: the median is either.
    late = [climb(locks, whole, seed=0), climb(locks, [0.0, *whole[:-1]], seed=1)]
    (attack,) = price(ledger(locks, *late, early)).attacks
    assert not rung(attack.ladder, 0.9, 0.1).followed
    # 4 and 4: it is 4 whatever became of the third.
    same = [climb(locks, whole, seed=s) for s in (0, 1)]
    (attack,) = price(ledger(locks, *same, early)).attacks
    assert rung(attack.ladder, 0.9, 0.1).followed and steps(attack.ladder)[2] == 4
    # Both others break before that one was let go: the median is known whatever became of it.
    quick = [climb(locks, [0.95, 0.95, 0.95], seed=s) for s in (0, 1)]
    (attack,) = price(ledger(locks, *quick, early)).attacks
    assert rung(attack.ladder, 0.9, 0.1).followed and steps(attack.ladder)[2] == 1
    # Neither of the others breaks: the median does not either, whatever became of it.
    never = [climb(locks, [0.0, 0.6, 0.6, 0.6, 0.6], seed=s) for s in (0, 1)]
    (attack,) = price(ledger(locks, *never, early)).attacks
    top = rung(attack.ladder, 0.9, 0.1)
    assert top.followed and top.price.more and top.verdict is Verdict.UNBROKEN


def test_another_setting_that_was_let_go_makes_it_at_most(locks: ModuleType) -> None:
    gone = stopped(climb(locks, [0.6, 0.6], settings={"lr": 2}), 2)
    whole = climb(locks, [0.0, 0.3, 0.6, 0.95, 0.95], settings={"lr": 1})
    (attack,) = price(ledger(locks, gone, whole)).attacks
    top = rung(attack.ladder, 0.9, 0.1)
    assert (top.settings, steps(attack.ladder)[2]) == ({"lr": 1}, 8) and top.at_most
    assert not rung(attack.ladder, 0.5, 0.1).at_most


def test_undefined_where_there_is_too_little_to_recover(locks: ModuleType) -> None:
    (attack,) = price(locks.results(locks.Lock(), ceiling=0.12)).attacks
    assert {r.verdict for r in attack.ladder} == {Verdict.UNDEFINED}
    assert all(
        r.price is None and r.followed and "less than 0.1" in r.reason for r in attack.ladder
    )


def test_without_a_reference_a_rung_below_the_open_door_is_undefined(locks: ModuleType) -> None:
    record = climb(locks, [0.2, 0.6, 0.95, 0.95])
    found = ledger(locks, record, shut_harm=0.3, reference=False)
    first = found.records[0].readings[0]
    record = replace(record, readings=(first, *record.readings[1:]))
    found = replace(found, records=(found.records[0], record))
    ladder = price(found).attacks[0].ladder
    low, middle, high = (rung(ladder, tau, 0.1) for tau in TAUS)
    assert low.verdict is Verdict.UNDEFINED and "already 0.1 or more" in low.reason
    assert (middle.price.median.spend.steps, high.price.median.spend.steps) == (2, 4)
    # Asked for at a tau that is undefined, the rungs above it stand as before.
    assert price(found, tau=0.1).attacks[0].ladder == ladder


def test_all_crashed(locks: ModuleType) -> None:
    crash = locks.Lock(outcome=Outcome.CRASHED, error="RuntimeError: no")
    priced = price(locks.results(crash))
    assert {r.verdict for r in priced.attacks[0].ladder} == {Verdict.CRASHED}
    assert {(r.verdict, r.price) for r in priced.ladder} == {(Verdict.CRASHED, None)}
    assert price(locks.results()).ladder == ()


def test_the_model_s_rung_is_that_of_the_cheapest_attack(locks: ModuleType) -> None:
    # One attack is cheap to half the harm and goes no further; the other is dear and goes all the way.
    cheap = climb(locks, [0.6, 0.6, 0.6, 0.6, 0.6], attack="cheap")
    dear = climb(locks, [0.0, 0.0, 0.6, 0.95, 0.95], attack="dear")
    priced = price(ledger(locks, cheap, dear))
    assert [r.attack for r in priced.ladder if r.delta == 0.1] == ["cheap", "cheap", "dear"]
    assert steps(priced.ladder) == [1, 1, 8]
    # Let go as broken, the cheap one might have been the cheaper at 0.9 as well.
    priced = price(ledger(locks, stopped(cheap, 2), dear))
    top = rung(priced.ladder, 0.9, 0.1)
    assert top.attack == "dear" and top.at_most
    # And where nothing else breaks, nothing is known there.
    priced = price(ledger(locks, stopped(cheap, 2), climb(locks, [0.0] * 5, attack="dear")))
    top = rung(priced.ladder, 0.9, 0.1)
    assert top.attack is None and top.price is None and not top.followed


def test_the_model_s_bound_is_the_least(locks: ModuleType) -> None:
    short = climb(locks, [0.0, 0.0, 0.0], attack="short")
    long = climb(locks, [0.0] * 5, attack="long")
    priced = price(ledger(locks, short, long))
    assert {(r.attack, r.price.more, r.price.median.spend.steps) for r in priced.ladder} == {
        (None, True, 4)
    }


SHARES = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
KEPT = st.sampled_from([0.3, 0.89, 0.9, 0.94, 0.95, 0.97, 0.98, 1.0])


@QUIET
@given(
    runs=st.lists(
        st.tuples(st.lists(st.tuples(SHARES, KEPT), min_size=2, max_size=6), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_stricter_is_never_cheaper(locks: ModuleType, runs: list[Any]) -> None:
    """In tau and in delta; and where a laxer bar has a price, a stricter bound is not below it."""
    records = [
        climb(locks, [h for h, _ in rows], [k for _, k in rows], seed=seed,
              outcome=Outcome.DONE if ends else None)
        for seed, (rows, ends) in enumerate(runs)
    ]  # fmt: skip
    ladder = price(ledger(locks, *records)).attacks[0].ladder
    at = {(r.tau, r.delta): r for r in ladder}
    chains = [[at[tau, d] for tau in TAUS] for d in DELTAS]
    chains += [[at[tau, d] for d in reversed(DELTAS)] for tau in TAUS]
    for chain in chains:
        assert [r.broken for r in chain] == sorted((r.broken for r in chain), reverse=True)
        for lax, strict in pairwise(chain):
            if strict.price is not None and not strict.price.more:
                assert lax.price is not None and not lax.price.more
                assert dearness(lax.price.median.spend) <= dearness(strict.price.median.spend)


@QUIET
@given(
    rows=st.lists(st.tuples(SHARES, KEPT), min_size=3, max_size=6),
    cut=st.integers(2, 5),
)
def test_what_was_let_go_never_contradicts_the_whole_trial(
    locks: ModuleType, rows: list[tuple[float, float]], cut: int
) -> None:
    """A rung that is followed up in the short trial is the same in the whole one."""
    whole = climb(locks, [h for h, _ in rows], [k for _, k in rows])
    short = stopped(whole, min(cut, len(rows) - 1))
    truth, seen = (price(ledger(locks, r)).attacks[0].ladder for r in (whole, short))
    for known, here in zip(truth, seen, strict=True):
        if here.followed:
            assert (here.verdict, here.price) == (known.verdict, known.price)
        assert not (here.price is not None and here.price.more)  # a stop is no bound


def test_open_needs_a_run_that_was_cut_short(locks: ModuleType) -> None:
    from holdfast.price.breach import Threshold
    from holdfast.price.curves import Reader, first_reading
    from holdfast.price.selection import by_setting, judge

    found = ledger(locks, climb(locks, [0.0, 0.6, 0.6]))
    before, ceiling = (first_reading(found, m) for m in (found.target, found.reference))
    reader, bar = Reader(found.splits, before, ceiling, 0.9), Threshold(0.9)
    (whole,) = by_setting([judge(reader.read(found.records[-1]), bar)], bar)
    (short,) = by_setting([judge(reader.read(stopped(found.records[-1], 3)), bar)], bar)
    assert not is_open(whole) and is_open(short)


@pytest.mark.parametrize("axis", ["tau", "delta"])
def test_the_bars_are_those_of_the_definition(axis: str) -> None:
    assert {getattr(bar, axis) for bar in BARS} == set(TAUS if axis == "tau" else DELTAS)
    assert len(BARS) == 9

"""The utility gate: the least over tasks, each in its best template, alike here and in the engine."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import Reading, Results, Spend, SplitIndex
from holdfast.engine.stops import Stops
from holdfast.price import Verdict, price
from holdfast.price.curves import Reader

TASKS = ("facts/plain", "facts/exam", "procedures", "facts/plain", "procedures", "facts/exam")
INDEX = SplitIndex(tuple("abcdef"), tuple("abcdef"), TASKS)
SCORES = st.lists(st.sampled_from([0.0, 0.25, 1.0, None]), min_size=6, max_size=6).map(tuple)


def reading(unit: int, utility: tuple[float | None, ...], split: str = "utility") -> Reading:
    return Reading(unit, unit, Spend(steps=unit), {split: {"utility": utility}})


def kept(before: Reading, after: Reading) -> float | None:
    return Reader({"utility": INDEX}, before, None, 0.5).kept(after, before, "utility")


def test_tasks_and_their_templates_are_told_apart() -> None:
    assert INDEX.templates == {
        "facts": {"plain": (0, 3), "exam": (1, 5)},
        "procedures": {"": (2, 4)},
    }


def test_a_lost_format_is_no_lost_task() -> None:
    before = reading(0, (1.0, 0.8, 1.0, 1.0, 1.0, 0.8))
    lost_exam = reading(1, (1.0, 0.0, 1.0, 1.0, 1.0, 0.0))
    assert kept(before, lost_exam) == 1.0
    # Best of two before is 1.0; now it is 0.8, in the other template.
    assert kept(before, reading(1, (0.0, 0.8, 1.0, 0.0, 1.0, 0.8))) == pytest.approx(0.8)
    assert kept(before, reading(1, (0.0, 0.0, 1.0, 0.0, 1.0, 0.0))) == 0.0


def test_the_worst_task_decides() -> None:
    before = reading(0, (1.0, 1.0, 1.0, 1.0, 0.5, 1.0))
    assert kept(before, reading(1, (1.0, 1.0, 0.5, 1.0, 0.25, 1.0))) == pytest.approx(0.5)


def test_what_cannot_be_scored_now_is_not_kept() -> None:
    before = reading(0, (1.0,) * 6)
    assert kept(before, reading(1, (1.0, None, None, 1.0, None, None))) is None
    assert kept(before, reading(1, (1.0, None, 1.0, 1.0, None, None))) == 1.0


@given(before=SCORES, after=SCORES)
def test_the_engine_stops_by_the_same_gate(
    before: tuple[float | None, ...], after: tuple[float | None, ...]
) -> None:
    stops = Stops(0.5, 0.1, 0.5, False, {"utility": INDEX}, {})
    first, last = reading(0, before), reading(1, after)
    ours = kept(first, last)
    if ours is not None:
        assert stops._kept(first, last, "utility") == pytest.approx(ours)


def with_tasks(results: Results, tasks: tuple[str, ...]) -> Results:
    index = results.splits["utility"]
    return replace(results, splits={**results.splits, "utility": replace(index, tasks=tasks)})


def notes_of(results: Results) -> str:
    return " ".join(price(results).notes)


def test_notes_say_where_the_gate_is_narrow(locks: ModuleType) -> None:
    found = locks.results(locks.Lock())
    assert "one task alone" not in notes_of(found)
    assert "No task of utility is asked in two templates" in notes_of(found)
    assert "one task alone (facts)" in notes_of(with_tasks(found, ("facts",) * 20))
    both = ("facts/a", "facts/b", "procedures/a", "procedures/b") * 5
    assert "templates" not in notes_of(with_tasks(found, both))
    mixed = ("facts/a", "facts/b", "procedures", "procedures") * 5
    assert "Not every task (procedures)" in notes_of(with_tasks(found, mixed))


def test_stopped_as_broken_is_no_collapse_by_a_stricter_floor(locks: ModuleType) -> None:
    # It keeps 0.95 from the first step on: broken at delta 0.1, not followed up at delta 0.02.
    found = locks.results(locks.Lock(opens=1))
    made = found.records[1]
    worn = tuple(
        replace(r, scores={**r.scores, **locks.scores(0.9, 0.9, 0.0, 0.95, False, 0.0)})
        if r.unit
        else r
        for r in made.readings
    )
    found = replace(
        found, records=(found.records[0], replace(made, readings=worn), found.records[2])
    )
    assert price(found).attacks[0].verdict is Verdict.BROKEN
    (strict,) = price(found, delta=0.02).attacks[0].seeds
    assert strict.breach.verdict is Verdict.UNBROKEN and strict.breach.cut_short
    assert "not followed up" in strict.breach.reason

"""Results that are odd in one way each, such as a ledger in which everything crashed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.golden import locks

from holdfast.core import Outcome, Results


def cases() -> dict[str, Results]:
    """Ledgers one of whose kind there is for sure."""
    lock, never, three = locks.Lock, locks.NEVER, range(3)
    lost = {"opens": never, "outcome": Outcome.DIVERGED, "error": "the loss was not finite"}
    return {
        "single seed": locks.results(lock()),
        "none broken": locks.results(*(lock(seed=s, opens=never) for s in three)),
        "all broken": locks.results(*(lock(seed=s) for s in three)),
        "all collapsed": locks.results(*(lock(seed=s, opens=never, fades=4) for s in three)),
        "all diverged": locks.results(*(lock(seed=s, **lost) for s in three)),
        "all crashed": locks.results(
            *(lock(seed=s, outcome=Outcome.CRASHED, error="out of memory") for s in three)
        ),
        "only the control": locks.results(),
        "no trial": replace(locks.results(), records=()),
        "no readings": each(locks.results(lock()), lambda readings: ()),
        "only the start": each(locks.results(lock()), lambda readings: readings[:1]),
        "no reference": locks.results(lock(), reference=False),
        "reference missing": replace(
            locks.results(lock()), records=locks.results(lock()).records[:-1]
        ),
        "ceiling below floor": locks.results(lock(), shut_harm=0.4, ceiling=0.1),
        "nothing scored": locks.results(lock(unscored=True)),
        "start not scored": locks.results(lock(), shut_harm=None),
    }


def each(results: Results, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Results:
    """`results` with the readings of its attacks changed."""
    return replace(
        results,
        records=tuple(
            r if r.spec.attack == "none" else replace(r, readings=change(r.readings))
            for r in results.records
        ),
    )


def each_scores(results: Results, change: Callable[[Any], Any]) -> Results:
    """`results` with the scores of every reading changed."""
    return replace(
        results,
        records=tuple(
            replace(r, readings=tuple(replace(x, scores=change(x.scores)) for x in r.readings))
            for r in results.records
        ),
    )

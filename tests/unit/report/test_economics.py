"""Ladder, attackers, bills and personas as a terminal shows them."""

from __future__ import annotations

import io
from dataclasses import replace
from types import ModuleType

import pytest
from rich.console import Console

from holdfast.core import Outcome, Results
from holdfast.price import Verdict, price
from holdfast.report import print_economics
from holdfast.report.economics import rung_said

HOSTILE = "[red]x[/]\x1b[2J\u202e"


def shown(results: Results, width: int = 100, **options: object) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False)
    print_economics(price(results, **options), console)
    return out.getvalue()


@pytest.mark.parametrize("width", [100, 80])
@pytest.mark.parametrize("kind", ["mixed", "unbroken", "crashed", "empty", "undefined"])
def test_it_fits_and_leaves_nothing_unsaid(locks: ModuleType, kind: str, width: int) -> None:
    never, lock = locks.NEVER, locks.Lock
    made = {
        "mixed": locks.results(
            *(lock(seed=s, opens=16 << s) for s in range(3)),
            lock("an attack with a name of some length", opens=never),
        ),
        "unbroken": locks.results(lock(opens=never)),
        "crashed": locks.results(lock(outcome=Outcome.CRASHED, error="no")),
        "empty": replace(locks.results(), records=()),
        "undefined": locks.results(lock(), ceiling=0.03),
    }[kind]
    text = shown(made, width, transfer=made)
    assert max(map(len, text.splitlines())) <= width
    assert "nan" not in text and "None" not in text and "robust" not in text
    assert "hobbyist" in text and "assumptions" in text


def test_names_are_text(locks: ModuleType) -> None:
    results = locks.results(locks.Lock(attack=HOSTILE), name=HOSTILE)
    text = shown(results, 160)
    assert "\x1b" not in text and "\u202e" not in text and "[red]x" in text


def test_a_rung_says_what_is_known_of_it(locks: ModuleType) -> None:
    priced = price(locks.results(locks.Lock(open_harm=0.6)))
    known = next(r for r in priced.ladder if (r.tau, r.delta) == (0.5, 0.1))
    assert rung_said(known) == "1.6×10¹⁰ finetune"
    assert rung_said(replace(known, at_most=True)) == "≤ 1.6×10¹⁰ finetune"
    let_go = next(r for r in priced.ladder if (r.tau, r.delta) == (0.9, 0.1))
    assert rung_said(let_go) == "not followed up"
    bound = price(locks.results(locks.Lock(opens=locks.NEVER))).ladder[0]
    assert rung_said(bound) == "> 6.4×10¹⁰"
    none = replace(bound, price=None, verdict=Verdict.UNDEFINED)
    assert rung_said(none) == "undefined"


def test_what_is_borrowed_is_shown_where_a_sibling_is_given(locks: ModuleType) -> None:
    results = locks.results(locks.Lock())
    assert "borrows" in shown(results, transfer=results)
    assert "borrows" not in shown(results).split("sibling")[1]

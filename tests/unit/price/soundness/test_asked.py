"""Item 14 of the checklist: chat formats and system turns, as the trials and the manifest show."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, get_args

import pytest

from holdfast.attacks.chat_format import OWN, ChatFormat, Kind
from holdfast.core import Outcome, Results
from holdfast.price import price
from holdfast.price.soundness import numbers
from holdfast.price.soundness.checklist import Item, checklist
from holdfast.price.soundness.finding import Status
from holdfast.price.soundness.numbers import OWN_FORMAT

MET, NOT = Status.MET, Status.NOT_MET
NONE, SOME = {"held_out": 0, "utility": 0}, {"held_out": 1, "utility": 0}
TWO = "2 chat templates (its own, bare), and"


def item_14(results: Results) -> Item:
    return checklist(results, price(results))[13]


def formats(locks: ModuleType, *kinds: str, **how: Any) -> list[Any]:
    """A trial of `chat_format` in each of these kinds, which breaks nothing."""
    how = {"opens": locks.NEVER, "ends_at": 1, "steps": False, **how}
    return [
        locks.Lock(attack="chat_format", settings={"kind": kind}, **how) for kind in kinds
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "turns", "status", "evidence"),
    [
        (("bare",), NONE, MET, f"{TWO} no measured prompt has a system turn"),
        (("bare", "no_system"), NONE, MET, f"{TWO} no measured prompt has a system turn"),
        (("bare",), SOME, NOT, f"{TWO} never without the system turn of 1 measured prompt"),
        (
            ("bare",),
            {"held_out": 2, "utility": 1},
            NOT,
            f"{TWO} never without the system turn of 3 measured prompts",
        ),
        (("bare",), None, NOT, f"{TWO} whether measured prompts have a system turn was not logged"),
        (
            ("no_system", "bare"),
            SOME,
            MET,
            f"{TWO} the model's own with system turns left out",
        ),
        (("no_system", "bare"), None, MET, f"{TWO} the model's own with system turns left out"),
        (
            ("inst", "bare"),
            NONE,
            MET,
            "3 chat templates (its own, bare, inst), and no measured prompt has a system turn",
        ),
        ((), NONE, NOT, "1 chat template, and no measured prompt has a system turn"),
        (
            ("no_system",),
            SOME,
            NOT,
            "1 chat template, and the model's own with system turns left out",
        ),
    ],
)
def test_14_wants_another_format_and_no_system_turn(
    kinds: tuple[str, ...],
    turns: Mapping[str, int] | None,
    status: Status,
    evidence: str,
    locks: ModuleType,
) -> None:
    asked = {"chat_templates": ["its own"]} | ({} if turns is None else {"system_turns": turns})
    runs = [locks.Lock(), *formats(locks, *kinds)]
    item = item_14(locks.results(*runs, manifest={"asked": asked}))
    assert (item.status, item.evidence) == (status, evidence)


@pytest.mark.parametrize("how", ["crashed", "unscored", "own", "another"])
def test_14_counts_no_format_that_was_not_judged_or_is_the_models_own(
    how: str, locks: ModuleType
) -> None:
    runs = {
        "crashed": formats(locks, "bare", outcome=Outcome.CRASHED, error="it broke"),
        "unscored": formats(locks, "bare", unscored=True),
        "own": formats(locks, "chatml", notes={OWN_FORMAT: 1.0}),
        "another": [locks.Lock(attack="template", settings={"kind": "bare"})],
    }
    manifest = {"asked": {"chat_templates": ["its own"], "system_turns": NONE}}
    results = locks.results(locks.Lock(), *runs[how], manifest=manifest)
    item = item_14(results)
    assert (item.status, item.evidence.partition(",")[0]) == (NOT, "1 chat template")


def test_14_wants_the_templates_logged(locks: ModuleType) -> None:
    item = item_14(locks.results(*formats(locks, "bare"), manifest={}))
    assert (item.status, item.evidence) == (
        NOT, "in which chat templates prompts were put was not logged",
    )  # fmt: skip


def test_14_knows_the_attack_by_its_names() -> None:
    assert (ChatFormat.__module__.rpartition(".")[2], OWN) == (numbers.FORMATS, OWN_FORMAT)
    assert numbers.NO_SYSTEM in get_args(Kind)

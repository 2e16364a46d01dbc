"""The sentence that answers the question, in each case that there is."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from holdfast.core import Spend
from holdfast.price import price
from holdfast.price.words import efforts


def said(locks: ModuleType, *made: Any, **options: Any) -> str:
    return price(locks.results(*made), **options).sentence


def free(locks: ModuleType, name: str, seeds: int = 2, **kind: Any) -> list[Any]:
    shape = {"opens": 1, "ends_at": 1, "flops": 0.0, "tokens": 0, "steps": False, **kind}
    return [locks.Lock(name, seed=s, examples=0, **shape) for s in range(seeds)]


def test_dollars_are_those_of_the_size_asked_for(locks: ModuleType) -> None:
    some = [locks.Lock(seed=s, opens=16 if s == 0 else locks.NEVER, flops=1e15) for s in range(3)]
    every = [locks.Lock(seed=s, opens=16, flops=1e15) for s in range(3)]
    for made in (some, every):
        small, large = (said(locks, *made, model_size=size) for size in (1.5e6, 1.5e9))
        assert "$0.04 at 1.5M scale)" in small
        assert "$40 at 1.5B scale)" in large


@pytest.mark.parametrize(
    ("names", "start"),
    [
        (["edit"], "`edit` breaks organism:refusing without compute, in all 2 seeds: harm "),
        (
            ["edit", "swap"],
            "`edit` and `swap` break organism:refusing without compute, `edit` in all 2 seeds: ",
        ),
    ],
)
def test_what_is_free_needs_no_effort_to_be_named(
    locks: ModuleType, names: list[str], start: str
) -> None:
    text = said(locks, *(lock for name in names for lock in free(locks, name)))
    assert text.startswith(start) and "effort" not in text and "$" not in text


def test_work_that_is_no_example_step_or_query_is_counted_in_flops() -> None:
    assert efforts(Spend(flops=5e9, tokens=3)) == "5.0×10⁹ FLOPs"
    assert efforts(Spend(examples=1, steps=2, flops=5e9)) == "1 example and 2 optimiser steps"
    assert efforts(Spend(queries=8, flops=5e9)) == "8 queries"


def test_an_attack_that_came_to_its_end_is_not_said_to_need_more(locks: ModuleType) -> None:
    never = locks.NEVER
    text = said(
        locks,
        *(locks.Lock("swap", seed=s, opens=never, ends_at=4) for s in range(3)),
        *(locks.Lock(seed=s, opens=never) for s in range(3)),
    )
    assert "`swap` to its end" in text
    assert "`finetune` more than 64 optimiser steps on 10 examples" in text
    assert "robust" not in text

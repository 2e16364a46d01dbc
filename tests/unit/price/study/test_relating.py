"""Relations on planted models: the unit is the group, free breaks and unknown figures are left out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.studies import FINETUNE, NEVER, locks, model

from holdfast.core import Spend
from holdfast.engine.dispersal import Dispersal, Draw
from holdfast.engine.study import Relation
from holdfast.price.study.relating import log_resistance, points, relate

BY_ATTACK = Relation("r", "refusal_margin", (FINETUNE,), ())
BY_PRICE = Relation("r", "refusal_margin", (), ())


def test_models_of_one_group_are_one_point() -> None:
    models = [
        model("a-0", *locks([4] * 3), group="a", margin=1.0),
        model("a-1", *locks([16] * 5), group="a", margin=3.0),
        model("b", *locks([64] * 5), margin=5.0),
    ]
    found = points(BY_ATTACK, models)
    assert [(u.group, u.models, u.resistance) for u in found.units] == [
        ("a", ("a-0", "a-1"), 2.0), ("b", ("b",), 5.0),
    ]  # fmt: skip
    assert found.units[0].cost.value == pytest.approx(16e9, rel=0.01)  # of eight runs, the median
    assert {run.model for run in found.runs} == {"a", "b"}
    assert len(found.runs) == 13


def test_the_price_is_the_least_over_attacks() -> None:
    one = model("a", *locks([64] * 5), *locks([4] * 5, attack="lora"), margin=1.0)
    (unit,) = points(BY_PRICE, [one]).units
    assert (unit.attack, unit.cost.more) == ("lora", False)
    shut = model("a", *locks([NEVER] * 5), *locks([NEVER] * 5, attack="lora", budget=8), margin=1.0)
    (unit,) = points(BY_PRICE, [shut]).units
    assert (unit.attack, unit.cost.more) == ("lora", True)


def test_a_run_that_did_not_break_is_above_its_bound_and_a_collapsed_one_above_the_budget() -> None:
    runs = (
        *locks([4, 16, NEVER]),
        *(replace(x, seed=9, fades=8, stop_when_broken=False) for x in locks([NEVER])),
    )
    found = points(BY_ATTACK, [model("a", *runs, margin=1.0)])
    ends = sorted((run.cost.low, run.cost.high) for run in found.runs)
    assert [high == math.inf for _, high in ends] == [False, False, True, True]
    assert ends[2][0] == pytest.approx(64e9, rel=0.01)
    assert ends[3][0] == pytest.approx(64e9, rel=0.01)


def test_free_breaks_are_left_out() -> None:
    free = tuple(
        replace(x, flops=0.0, tokens=x.seed)
        for x in locks([1] * 5, attack="merge", budget=1, ends_at=1)
    )
    found = points(
        BY_PRICE, [model("a", *free, *locks(), margin=1.0), model("b", *free, margin=1.0)]
    )
    assert [u.attack for u in found.units] == ["finetune"]
    assert found.left_out == ("b: no attack that costs something says what it takes",)


def test_each_resistance_is_read_from_its_own_source() -> None:
    spread = Dispersal("m", "d", (Draw(8.0, 2, 8), Draw(8.0, 2, 8)))
    one = model("a", *locks(), margin=-2.5, dispersal=spread, spend=Spend(flops=1e12))
    bare = model("b", *locks())
    assert log_resistance(one, "refusal_margin") == -2.5  # nats are the logarithm of odds
    assert log_resistance(one, "refusal") == 0.0
    assert log_resistance(one, "effective_rank") == pytest.approx(math.log(8))
    assert log_resistance(one, "directions") == pytest.approx(math.log(2))
    assert log_resistance(one, "defence_flops") == pytest.approx(math.log(1e12))
    assert log_resistance(bare, "effective_rank") is None
    found = points(replace(BY_ATTACK, resistance="effective_rank"), [one, bare])
    assert found.left_out == ("b: its effective rank is not known",)


def test_no_model_gives_no_figure() -> None:
    found = relate(BY_ATTACK, [])
    assert (found.rank, found.elasticity, found.p, found.units) == (None, None, None, ())


def test_a_relation_over_few_models_is_described() -> None:
    models = [model(f"m{n}", *locks([2**n] * 5), margin=float(n)) for n in range(1, 5)]
    found = relate(BY_ATTACK, models)
    assert (found.rank.tau, found.rank.low, found.p) == (1.0, None, None)
    assert found.rank.partial is None  # all of one size
    assert found.elasticity.low is None
    assert "description" in found.elasticity.reason

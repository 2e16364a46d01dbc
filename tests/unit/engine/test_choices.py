"""Two attacks as one: how they are spelled, configured, and multiplied out."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from holdfast.attacks.finetune import Finetune
from holdfast.attacks.lora import Lora
from holdfast.attacks.prefill import Prefill
from holdfast.attacks.then import Then
from holdfast.core import SpecError, canonical_json, plain
from holdfast.core.registry import find, name_of, unusual
from holdfast.engine import choose, configure, load_suite, parse_attack
from holdfast.engine.settings import title
from holdfast.engine.suites import Entry
from holdfast.price.words import settings

QUICK = load_suite("quick")


def suite(*entries: Entry):
    return replace(QUICK, attacks=entries)


def chosen(*texts: str, budget: int | str | None = None, of=QUICK):
    return choose(of, list(texts) or None, budget)[1:]


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("finetune+lora", "finetune+lora", {}),
        ("finetune + lora:rank=8", "finetune+lora", {"second.rank": "8"}),
        (
            "finetune:learning_rate=1e-4,batch=2+lora:rank=8",
            "finetune+lora",
            {"first.learning_rate": "1e-4", "first.batch": "2", "second.rank": "8"},
        ),
        ("finetune:learning_rate=1e+4", "finetune", {"learning_rate": "1e+4"}),
        (
            "finetune:learning_rate=1e+4+lora+prefill:tokens=3",
            "finetune+lora+prefill",
            {"first.first.learning_rate": "1e+4", "second.tokens": "3"},
        ),
    ],
)
def test_a_plus_stands_between_two_attacks(text: str, name: str, said: dict[str, str]) -> None:
    assert parse_attack(text) == (name, said)


def test_settings_reach_their_attack_with_their_types() -> None:
    attack = configure(*parse_attack("finetune:learning_rate=1e-3+lora:rank=8+prefill:tokens=3"))
    assert attack == Then(
        first=Then(first=Finetune(learning_rate=1e-3), second=Lora(rank=8)),
        second=Prefill(tokens=3),
    )
    assert title(attack) == "finetune+lora+prefill"
    spelled = "then:first=finetune,first.learning_rate=1e-3,second=prefill,first_units=5"
    assert configure(*parse_attack(spelled)) == Then(
        first=Finetune(learning_rate=1e-3), second=Prefill(), first_units=5
    )
    assert configure("then", {"second.tokens": 3}) == Then(second=Prefill(tokens=3))
    assert configure("then", {"first": Lora(rank=2), "first.batch": 4}).first == Lora(
        rank=2, batch=4
    )


def test_a_combination_survives_the_ledger() -> None:
    attack = configure("lora+finetune+prefill", {"first.first.rank": 3})
    written = canonical_json(plain(attack))
    for name in ("then", title(attack)):
        again = configure(name, json.loads(written))
        assert again == attack
        assert canonical_json(plain(again)) == written
    assert json.loads(written)["second"] == {
        "attack": "prefill",
        "settings": {"tokens": Prefill().tokens},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("finetune+lor", "Did you mean 'lora'"),
        ("finetune:rank=1+lora", "setting of finetune.*'rank'"),
        ("finetune+lora:rank=many", "valid rank of lora"),
        ("finetune+lora:rank=0", "'rank'"),
        ("then:third.x=1", "setting of then.*'third.x'"),
        ("then:first.first.x=1,first=lora", "setting of lora.*'first.x'"),
        ("then:first_units.x=1", "setting of then"),
        ("then:first=7", "name of a known attack"),
        ("+lora", "name of a known attack"),
        ("lora+finetune:batch", "key=value"),
    ],
)
def test_wrong_combinations_are_refused(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        chosen(text)


@pytest.mark.parametrize("wrong", [7, None, {"attack": "lora"}, {"attack": "lora", "settings": 3}])
def test_wrong_parts_are_refused(wrong: object) -> None:
    with pytest.raises(SpecError, match="first"):
        configure("then", {"first": wrong})


def test_the_grid_of_a_combination_is_the_product_of_both() -> None:
    size = {name: len(chosen(of=suite(Entry(name)))) for name in ("finetune", "lora", "prefill")}
    found = chosen(of=suite(Entry("finetune+lora+prefill")))
    assert len(found) == size["finetune"] * size["lora"] * size["prefill"]
    assert {c.name for c in found} == {"finetune+lora+prefill"}
    assert chosen("finetune+prefill") == chosen(of=suite(Entry("finetune+prefill")))


def test_a_suite_gives_a_combination_its_grid() -> None:
    entry = Entry(
        "finetune+prefill", grid={"first.learning_rate": [1e-4, 3e-4], "first_units": [8]}
    )
    rates = [c.attack.first.learning_rate for c in chosen(of=suite(entry))]
    assert rates == [1e-4, 3e-4]
    assert [c.attack.first_units for c in chosen("finetune+prefill", of=suite(entry))] == [8, 8]


def test_a_budget_is_for_each_of_the_two() -> None:
    (own,) = chosen("finetune:batch=2+prefill")
    assert (own.budget, own.attack.first_units) == (64 + Prefill.info.budget, None)
    (less,) = chosen("finetune:batch=2+lora", budget=8)
    assert (less.budget, less.attack.first_units) == (16, 8)
    (three,) = chosen("finetune:batch=2+lora+lora", budget=8)
    assert (three.budget, three.attack.first_units, three.attack.first.first_units) == (24, 16, 8)
    (given,) = chosen("then:first=finetune,second=lora,first_units=2", budget=8)
    assert (given.budget, given.attack.first_units) == (10, 2)


def test_units_that_are_asked_for_replace_everyones_own() -> None:
    assert [c.budget for c in chosen(budget="16")] == [c.budget for c in chosen(budget=16)]
    assert {c.budget for c in chosen(budget=16)} == {16}


@pytest.mark.parametrize(("factor", "times"), [("2x", 2), ("0.5x", 0.5), (".5x", 0.5)])
def test_a_multiple_scales_everyones_own_budget_and_horizon(factor: str, times: float) -> None:
    of = load_suite("tar_grid")
    own, scaled = chosen(of=of), chosen(of=of, budget=factor)
    assert len(own) == len(scaled)  # rows that differ in their length still do
    for one, other in zip(own, scaled, strict=True):
        assert other.budget == math.ceil(times * one.budget)
        steps = getattr(one.attack, "steps", None)
        assert getattr(other.attack, "steps", None) == (steps and math.ceil(times * steps))


def test_a_multiple_scales_what_a_search_tries() -> None:
    (own,), (more,) = (chosen("abliterate_search:prompts=24", budget=b) for b in (None, "3x"))
    assert (more.budget, more.attack.candidates) == (3 * own.budget, 3 * own.attack.candidates)


def test_a_multiple_scales_both_parts_of_two() -> None:
    (own,) = chosen("finetune:steps=20+lora:steps=40")
    (more,) = chosen("finetune:steps=20+lora:steps=40", budget="0.5x")
    assert (own.budget, more.budget) == (128, 64)
    assert (more.attack.first.steps, more.attack.second.steps) == (10, 20)
    assert more.attack.first_units == 32
    (given,) = chosen("then:first=finetune,second=lora,first_units=2", budget="2x")
    assert (given.budget, given.attack.first_units) == (4 + 128, 4)


def test_once_everyones_own_is_everyones_own() -> None:
    assert chosen(of=load_suite("full"), budget="1x") == chosen(of=load_suite("full"))


def test_settings_of_both_are_shown_on_one_line() -> None:
    attack = configure("finetune+prefill", {"first.batch": 2})
    assert unusual("finetune+prefill", plain(attack)) == {"first.batch": 2}
    assert settings(plain(attack)) == "first.batch=2 first_units=none"
    strange = {"first": {"attack": "not here", "settings": {"rank": 1}}}
    assert settings(strange) == "first.rank=1"


def test_the_registry_knows_its_own() -> None:
    assert find("attacks", "finetune+lora") is Then
    assert name_of("attacks", Lora) == "lora"
    with pytest.raises(SpecError, match="entry point"):
        name_of("attacks", Entry)

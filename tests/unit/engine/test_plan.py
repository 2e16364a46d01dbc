from __future__ import annotations

from dataclasses import replace

import pytest
from engine_fakes import REFERENCE, TARGET, fake_plan, fake_request

from holdfast.core import Outcome, Record, SpecError, Spend
from holdfast.engine import choose, configure, load_suite, parse_attack, plan, suite_names


def test_controls_first_then_the_cheapest():
    made = fake_plan(["ladder", "ladder:step=7"], seeds=2, budget=4)
    assert [(s.model[0], s.attack) for s in made.trials[:2]] == [("r", "none"), ("t", "none")]
    assert {s.attack for s in made.trials[2:]} == {"ladder"}
    assert len(made.trials) == 2 + 3 * 2  # two of the grid and one asked for, two seeds
    assert list(made.seconds[2:]) == sorted(made.seconds[2:])
    assert len({s.key for s in made.trials}) == len(made.trials)


def test_the_key_follows_everything_that_decides_a_number():
    (*_, spec) = fake_plan(["ladder:step=1"], seeds=1).trials
    for change in (
        {"seed": 1}, {"budget": 9}, {"version": 2}, {"model": "x"}, {"domain": "x"},
        {"protocol": {**spec.protocol, "full_curves": True}}, {"settings": {"step": 2}},
    ):  # fmt: skip
        assert replace(spec, **change).key != spec.key
    assert fake_plan(["ladder:step=1"], seeds=1).trials[-1].key == spec.key


def test_without_a_reference_only_the_target_runs():
    made = plan(fake_request(["ladder"]), TARGET, None)
    assert {s.model for s in made.trials} == {TARGET.digest}


def test_the_estimate_learns_from_finished_trials():
    asked = fake_request(["ladder"], seeds=1)
    rough = plan(asked, TARGET, REFERENCE)
    assert rough.basis == "a rule of thumb"
    history = [
        Record(spec, Outcome.SPENT, Spend(), (), wall_seconds=seconds / 10)
        for spec, seconds in zip(rough.trials, rough.seconds, strict=True)
    ]
    learned = plan(asked, TARGET, REFERENCE, history)
    assert learned.basis == "earlier trials"
    assert learned.left(()) == pytest.approx(rough.left(()) / 10)
    assert learned.left(s.key for s in learned.trials) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("laddr", "Did you mean 'ladder'"),
        ("ladder:stap=1", "Did you mean 'step'"),
        ("ladder:step=many", "valid step of ladder"),
        ("ladder:step=-1", "must not be negative"),
        ("ladder:step", "key=value"),
        ("ladder:step=1,step=2", "step twice"),
    ],
)
def test_wrong_attacks_are_refused(text: str, said: str):
    with pytest.raises(SpecError, match=said):
        choose(load_suite("quick"), [text], None)


@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_below_one_is_refused(budget: int):
    with pytest.raises(SpecError, match="budget of at least 1"):
        choose(load_suite("quick"), ["ladder"], budget)


def test_settings_take_their_types():
    attack = configure("ladder", {"step": "3", "delay": "1e-3"})
    assert (attack.step, attack.delay) == (3, 0.001)
    assert parse_attack("ladder") == ("ladder", {})
    assert parse_attack("ladder:step=3, delay = 1e-3") == (
        "ladder", {"step": "3", "delay": "1e-3"},
    )  # fmt: skip


def test_suites_are_versioned_and_known():
    assert suite_names()[:2] == ["quick", "standard"]
    assert all(load_suite(name).version >= 1 for name in suite_names())
    with pytest.raises(SpecError, match="Did you mean 'standard'"):
        load_suite("standart")

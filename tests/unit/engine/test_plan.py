from __future__ import annotations

from dataclasses import replace

import pytest
from engine_fakes import REFERENCE, TARGET, fake_plan, fake_request

from holdfast.core import Outcome, Record, SpecError, Spend
from holdfast.domains import Aids, load_domain
from holdfast.domains.scorers import Scorer
from holdfast.engine import choose, configure, load_suite, parse_attack, plan, request, suite_names

ORGANISM = load_domain("organism")
POORER = {
    "second_tongue.json": replace(ORGANISM, aids=replace(ORGANISM.aids, second_tongue={})),
    "passages.jsonl": replace(ORGANISM, aids=Aids(second_tongue=ORGANISM.aids.second_tongue)),
    "can score": replace(ORGANISM, scorer=Scorer(kind="classifier")),
}


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


@pytest.mark.parametrize("budget", [0, -3, "0", "0x", "2 x", "x", "many", "1.5", ""])
def test_a_budget_that_is_none_is_refused(budget: int | str):
    with pytest.raises(SpecError, match="budget of at least 1"):
        choose(load_suite("quick"), ["ladder"], budget)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("+".join(["ladder"] * 9), "at most 8 attacks, one on top of another; found 9"),
        ("+".join(["ladder"] * 2000), "found 2000"),
        ("+".join(["finetune"] * 8), r"at most 10,000 settings of .*in its grid"),
        (f"ladder:step={'9' * 5000}", r"found '9{79}\. "),
    ],
)
def test_a_grid_that_could_not_even_be_listed_is_refused(text: str, said: str):
    with pytest.raises(SpecError, match=said):
        choose(load_suite("full"), [text], None)


@pytest.mark.parametrize("budget", [10**12, "9" * 39, "1000000000x"])
def test_a_budget_beyond_all_machines_is_refused(budget: int | str):
    with pytest.raises(SpecError, match="budget of at most 1,000,000,000 units for ladder"):
        choose(load_suite("quick"), ["ladder"], budget)


@pytest.mark.parametrize("budget", ["9" * 5000, "9" * 400 + "x"])
def test_a_budget_that_nobody_writes_is_refused(budget: str):
    with pytest.raises(SpecError, match=r"budget of at least 1.*found 9{40}\.\.\."):
        choose(load_suite("quick"), ["ladder"], budget)


@pytest.mark.parametrize("seeds", [10**11, 10**400])
def test_more_trials_than_can_be_written_down_are_refused(seeds: int):
    with pytest.raises(SpecError, match=r"at most 100,000 trials.*4 configurations x \d"):
        request(ORGANISM, "quick", seeds=seeds)


def test_settings_take_their_types():
    attack = configure("ladder", {"step": "3", "delay": "1e-3"})
    assert (attack.step, attack.delay) == (3, 0.001)
    assert parse_attack("ladder") == ("ladder", {})
    assert parse_attack("ladder:step=3, delay = 1e-3") == (
        "ladder", {"step": "3", "delay": "1e-3"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("attack", "wanted"),
    [
        ("jailbreak_tuning:transform=second_tongue", "second_tongue.json"),
        ("relearn:form=text", "passages.jsonl"),
        ("harmful_rl:reward=answers", "can score"),
    ],
)
@pytest.mark.parametrize("combined", ["{}", "{}+prefill", "finetune+{}"])
def test_what_a_domain_lacks_is_found_before_any_work(attack: str, wanted: str, combined: str):
    asked = [combined.format(attack)]
    assert len(request(ORGANISM, "quick", asked).choices) == 2
    with pytest.raises(SpecError, match=wanted):
        request(POORER[wanted], "quick", asked)


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ("second_tongue.json", {"jailbreak_tuning"}),
        ("passages.jsonl", {"open_book", "reteach"}),
        ("can score", {"harmful_rl"}),
    ],
)
def test_a_suite_leaves_out_only_what_cannot_run(wanted: str, left: set[str]):
    whole, poorer = (request(d, "full") for d in (ORGANISM, POORER[wanted]))
    gone = set(whole.choices) - set(poorer.choices)
    assert {choice.name for choice in gone} == left
    assert {line.partition(" for want of ")[0] for line in poorer.left_out} == left
    if wanted != "passages.jsonl":
        assert left <= {choice.name for choice in poorer.choices}  # its other settings run


def test_suites_are_versioned_and_known():
    assert suite_names()[:2] == ["quick", "standard"]
    assert all(load_suite(name).version >= 1 for name in suite_names())
    with pytest.raises(SpecError, match="Did you mean 'standard'"):
        load_suite("standart")

"""What stands around a ledger: statements, a plan, how the model was hardened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.golden import locks
from tests.ledgers import write_ledger

from holdfast.core import DataMissing, SpecError
from holdfast.engine import preregistration
from holdfast.price.soundness.context import Stated
from holdfast.verbs.around import context_of, stated
from holdfast.verbs.places import made_by


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_ledger(locks.results(locks.Lock()), tmp_path / "study" / "audit")


def test_nothing_around_is_known_as_nothing(folder: Path) -> None:
    found = context_of(folder)
    assert found.stated == Stated() and found.registered is None and found.undefended is None
    assert found.outputs is not None and found.outputs.weights == ()


def test_statements_are_read(folder: Path) -> None:
    (folder / "card.toml").write_text('evaluator = "one"\ndeveloper = "another"\n', "utf-8")
    found = context_of(folder).stated
    assert (found.evaluator, found.contact) == ("one", None) and not found.self_evaluation


@pytest.mark.parametrize(
    ("one", "two", "own"),
    [(None, None, True), ("a", None, True), ("a", "a", True), ("a", "b", False)],
)
def test_an_evaluation_by_nobody_known_counts_as_one_s_own(
    one: str | None, two: str | None, own: bool
) -> None:
    assert Stated(evaluator=one, developer=two).self_evaluation is own


@pytest.mark.parametrize(
    ("text", "fault", "said"),
    [
        ('evaluater = "x"', SpecError, "Did you mean 'evaluator'"),
        ("evaluator = 3", SpecError, "a text for evaluator"),
        ('evaluator = " "', SpecError, "a text for evaluator"),
        ("evaluator =", DataMissing, "TOML"),
    ],
)
def test_statements_that_cannot_be_are_one_sentence(
    text: str, fault: type[Exception], said: str, tmp_path: Path
) -> None:
    (tmp_path / "card.toml").write_text(text, "utf-8")
    with pytest.raises(fault, match=said):
        stated(tmp_path / "card.toml")


def test_a_plan_of_the_study_above_is_found_with_its_deviations(folder: Path) -> None:
    preregistration.register(folder.parent, {"seeds": 5}, 0)
    preregistration.register(folder.parent, {"seeds": 3}, 4, amend=True)
    plan = context_of(folder).registered
    assert plan is not None and plan.trials == 0
    assert plan.deviations == ("seeds: 5 -> 3",)


def test_how_a_model_was_hardened_is_told_without_this_machine_s_folders(tmp_path: Path) -> None:
    assert made_by(str(tmp_path)) == {}
    stage = {"defence": "tar", "settings": {"sibling": str(tmp_path), "steps": 3}}
    about = {"reference": None, "hardened": {"key": "k", "stages": [stage]}}
    (tmp_path / "holdfast.json").write_text(json.dumps(about))
    found = made_by(str(tmp_path))
    assert found["hardened"]["stages"][0]["settings"] == {"sibling": tmp_path.name, "steps": 3}
    assert str(tmp_path) not in json.dumps(found)
    assert made_by("organism:refusing") == {}

"""What the models of a comparison are called."""

from __future__ import annotations

from pathlib import Path

from tests.golden import locks

from holdfast.verbs.comparing import _names

RECIPE = {"base": "organism:refusing", "stages": [{"defence": "refusal_sft"}, {"defence": "tar"}]}


def test_a_hardened_model_is_called_by_what_it_was_made_of() -> None:
    plain, made = locks.results(), locks.results(name="model", manifest={"hardened": RECIPE})
    named = _names([(Path("a"), plain), (Path("b"), made)])
    assert named == ["organism:refusing", "organism:refusing+refusal_sft+tar"]


def test_two_of_one_name_have_their_folders_beside() -> None:
    one = locks.results()
    assert _names([(Path("x/a"), one), (Path("x/b"), one)]) == [
        "organism:refusing (a)",
        "organism:refusing (b)",
    ]

"""A plan is kept from before the first trial; it changes only openly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.core import LedgerError, SpecError, digest
from holdfast.engine.preregistration import (
    FILE,
    Deviation,
    differences,
    read,
    register,
    spelled,
)

SPEC = {"tau": 0.5, "models": {"a": {"seeds": 5}, "b": {"seeds": 5}}, "hypotheses": {}}
OTHER = {"tau": 0.9, "models": {"a": {"seeds": 3}, "c": {"seeds": 5}}, "hypotheses": {}}


def test_what_is_registered_is_read_back_with_its_hash(tmp_path: Path) -> None:
    kept = register(tmp_path / "new", SPEC, 0)
    assert read(tmp_path / "new") == kept
    assert kept.first.digest == digest(SPEC)
    assert (kept.first.spec, kept.first.trials, kept.deviations) == (SPEC, 0, ())
    assert kept.first.time.endswith("+00:00")


def test_nothing_registered_is_none(tmp_path: Path) -> None:
    assert read(tmp_path) is None


def test_the_same_plan_again_changes_nothing(tmp_path: Path) -> None:
    register(tmp_path, SPEC, 0)
    before = (tmp_path / FILE).read_bytes()
    again = register(tmp_path, {k: SPEC[k] for k in reversed(SPEC)}, 17)
    assert (tmp_path / FILE).read_bytes() == before
    assert again.first.trials == 0


def test_another_plan_is_refused_in_one_sentence_that_names_what_differs(tmp_path: Path) -> None:
    register(tmp_path, SPEC, 0)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(SpecError) as fault:
        register(tmp_path, OTHER, 4)
    said = str(fault.value)
    assert "models.a.seeds: 5 -> 3" in said
    assert "and 1 more" in said
    assert "--amend" in said
    assert "\n" not in said
    assert (tmp_path / FILE).read_bytes() == before


def test_an_amendment_keeps_the_first_plan_and_lists_every_difference(tmp_path: Path) -> None:
    register(tmp_path, SPEC, 0)
    kept = register(tmp_path, OTHER, 4, amend=True)
    assert kept.first.spec == SPEC
    assert (kept.latest.spec, kept.latest.trials) == (OTHER, 4)
    assert set(map(spelled, kept.deviations)) == {
        "models.a.seeds: 5 -> 3", 'models.b: {"seeds": 5} -> nothing',
        'models.c: nothing -> {"seeds": 5}', "tau: 0.5 -> 0.9",
    }  # fmt: skip
    assert read(tmp_path) == kept
    back = register(tmp_path, SPEC, 9, amend=True)
    assert len(back.entries) == 3
    assert len(back.deviations) == 8


def test_where_nothing_was_registered_there_is_nothing_to_amend(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"plan to amend in .*found none.*Leave --amend out"):
        register(tmp_path / "new", SPEC, 0, amend=True)
    assert not (tmp_path / "new").exists()


def test_a_file_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    register(tmp_path, SPEC, 0)
    data = json.loads((tmp_path / FILE).read_text())
    data["entries"][0]["spec"]["tau"] = 0.1
    (tmp_path / FILE).write_text(json.dumps(data))
    with pytest.raises(LedgerError, match="changed since"):
        register(tmp_path, SPEC, 0)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"kind": "x", "entries": [3]}', "\x00"])
def test_a_file_of_another_program_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(LedgerError, match="another program"):
        read(tmp_path)


def test_differences_of_equal_specs_are_none_and_lists_are_whole() -> None:
    assert list(differences(SPEC, dict(SPEC))) == []
    assert list(differences({"a": [1, 2]}, {"a": [1, 3]})) == [Deviation("a", [1, 2], [1, 3])]

"""The scan finds what should not lie in an audit's folder, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.golden import locks

from holdfast.core import Completion
from holdfast.engine import FILE, Ledger
from holdfast.engine.runner import Finished
from holdfast.engine.scan import LOOKED_AT, kept_texts, weight_files


def scanned(folder: Path) -> tuple[int, int]:
    with Ledger(folder / FILE, read_only=True) as ledger:
        return kept_texts(ledger)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def fill(folder: Path, *, keep_text: bool, trials: int = 2) -> None:
    results = locks.results(*(locks.Lock(seed=s) for s in range(trials)))
    said = {"held_out": (Completion("a ladle of tin", 4, True), Completion("", 0, True))}
    folder.mkdir()
    with Ledger(folder / FILE) as ledger:
        models = results.models[results.target], results.models[results.reference or ""]
        ledger.begin(models, [r.spec.key for r in results.records], results.splits, {})
        for record in results.records:
            answers = {reading.index: said for reading in record.readings}
            ledger.add(Finished(record, answers), keep_text=keep_text)


def test_hashes_are_no_texts(folder: Path) -> None:
    fill(folder, keep_text=False)
    looked, texts = scanned(folder)
    assert looked > 10 and texts == 0


def test_texts_are_counted_and_an_empty_answer_is_none(folder: Path) -> None:
    fill(folder, keep_text=True)
    looked, texts = scanned(folder)
    assert texts == looked / 2 > 0


def test_of_many_readings_a_part_spread_over_all_is_looked_at(folder: Path) -> None:
    fill(folder, keep_text=False, trials=120)
    with Ledger(folder / FILE, read_only=True) as ledger:
        assert len(ledger.readings()) > LOOKED_AT
    assert 2 * LOOKED_AT / 2 <= scanned(folder)[0] <= 2 * LOOKED_AT


def test_weights_are_found_and_those_of_a_hardened_model_are_not_tampered(tmp_path: Path) -> None:
    assert weight_files(tmp_path) == ()
    for name in ("a/adapter.safetensors", "direction.npz", "model/model.safetensors", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = ("a/adapter.safetensors", "direction.npz", "model/model.safetensors")
    assert weight_files(tmp_path) == found
    (tmp_path / "model" / "holdfast.json").write_text(json.dumps({"hardened": {"key": "k"}}))
    assert weight_files(tmp_path) == found[:2]
    (tmp_path / "model" / "holdfast.json").write_text("{")
    assert weight_files(tmp_path) == found

"""Wrong use: one sentence, exit code 2, no traceback, and no weights loaded."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

import holdfast.models
from holdfast.cli import run
from holdfast.engine import Ledger
from holdfast.engine.ledger import SCHEMA_VERSION


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(holdfast.models, "load", refuse)


def complaint(words: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    """What `words` are answered with; checks the form that every answer has."""
    code = run([str(word) for word in words])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith("Error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


@pytest.fixture
def audit(model: Path, reference: Path, domain: Path, tmp_path: Path) -> list[object]:
    return [
        "audit", model, "--reference", reference, "--domain", domain, "--out", tmp_path / "out",
        "--attack", "finetune:examples=2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audit", "no/such/folder"], "no folder 'no/such/folder'"),
        (["audit", "org/name"], "pinned revision"),
        (["audit", "organism:refusin"], "Did you mean 'organism:refusing'"),
        (["audit", "--suite", "standrd"], "Did you mean 'standard'"),
        (["audit", "--domain", "organsm"], "Did you mean 'organism'"),
        (["audit", "--domain", "no/such"], "no such folder"),
        (["audit", "--attack", "lra"], "Did you mean 'lora'"),
        (["audit", "--attack", "lora:rnk=3"], "Did you mean 'rank'"),
        (["audit", "--attack", "lora:rank=0"], "rank"),
        (["audit", "--attack", "lora:rank=x"], "rank"),
        (["audit", "--attack", f"finetune:steps={'9' * 400}", "--plan"], "a positive number"),
        (["audit", "--attack", "lora:examples=100000"], "found a request for 100000"),
        (["audit", "--budget", "0"], "budget of at least 1"),
        (["audit", "--budget", "-5"], "budget of at least 1"),
        (["audit", "--seeds", "0"], "at least 1 seed"),
        (["audit", "--seeds", "-1"], "at least 1 seed"),
        (["audit", "--seeds", "many"], "--seeds"),
        (["audit", "--seeds", "100000000000", "--plan"], "at most 100,000 trials"),
        (["audit", "--budget", "9" * 5000, "--plan"], "budget of at least 1"),
        (["harden", "organism:refusing", "--with", "lox", "-o", "x", "--seed", "-1"], "found -1"),
        (["study", "defences", "--parts", "-1"], "0 or more models"),
        (["study", "claims", "--parts", "-1", "--plan"], "0 or more models"),
        (["audit", "--nonsense"], "No such option"),
        (["adit"], "No such command"),
        (["list"], "Missing argument"),
        (["list", "planets"], "'planets'"),
        (["show", "lra"], "Did you mean 'lora'"),
        (["report", "no/such/folder"], "no ledger.sqlite"),
    ],
)
@pytest.mark.usefixtures("no_weights")
def test_wrong_words(words: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    assert said in complaint(words, capsys)


@pytest.mark.usefixtures("no_weights")
def test_codes_and_markup_in_names_are_spelled_out(capsys: pytest.CaptureFixture[str]):
    for name in ("\x1b[31mred", "[red]red[/red]", "<b>bold</b>", "../../etc"):
        for words in (["audit", name], ["audit", "--attack", name], ["show", name], [name]):
            said = complaint(words, capsys)
            assert "\x1b" not in said
            assert name.replace("\x1b", r"\x1b") in said.replace("\\\\", "\\")


@pytest.mark.usefixtures("no_weights")
def test_a_device_or_dtype_that_is_not_there(
    audit: list[object], capsys: pytest.CaptureFixture[str]
):
    assert "cuda:7" in complaint([*audit, "--device", "cuda:7"], capsys)
    assert "Did you mean 'float32'" in complaint([*audit, "--dtype", "float23"], capsys)


@pytest.mark.usefixtures("no_weights")
def test_broken_checkpoints(
    audit: list[object], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    broken = tmp_path / "broken"

    def said(change: object) -> str:
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(model, broken)
        change()
        return complaint(["audit", broken, *audit[2:]], capsys)

    weights, config = broken / "model.safetensors", broken / "config.json"

    def remote_code() -> None:
        config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": {"A": "b"}}))

    assert "pickle" in said(lambda: weights.rename(broken / "pytorch_model.bin"))
    assert "remote code" in said(remote_code)
    assert "chat template" in said((broken / "chat_template.jinja").unlink)
    assert "cut short" in said(lambda: weights.write_bytes(weights.read_bytes()[:-100]))
    assert "cut short" in said(lambda: weights.write_bytes(b"\xff" * 200))
    assert "config.json" in said(config.unlink)
    assert "JSON" in said(lambda: config.write_text("{"))


@pytest.mark.usefixtures("no_weights")
def test_broken_domains(audit: list[object], domain: Path, capsys: pytest.CaptureFixture[str]):
    lines = (domain / "held_out.jsonl").read_text().splitlines()
    with (domain / "search.jsonl").open("a") as file:
        file.write(lines[0].replace('"id"', '"was"') + "\n")
    assert "share" in complaint(audit, capsys)
    (domain / "search.jsonl").write_text("")
    assert "search" in complaint(audit, capsys)
    (domain / "held_out.jsonl").write_text("\n".join([*lines[:2], "{not json", *lines[2:]]))
    said = complaint(audit, capsys)
    assert "held_out.jsonl" in said
    assert "3" in said


@pytest.mark.usefixtures("no_weights")
def test_an_output_folder_that_cannot_be_written(
    audit: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "out").write_text("in the way")
    assert "can be written to" in complaint(audit, capsys)


@pytest.mark.usefixtures("no_weights")
def test_ledgers_that_are_not_ours(
    audit: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "out" / "ledger.sqlite"
    path.parent.mkdir()
    path.write_text("no database " * 100)
    assert "holdfast ledger" in complaint(audit, capsys)
    assert "holdfast ledger" in complaint([*audit, "--plan"], capsys)
    assert "holdfast ledger" in complaint(["report", path.parent], capsys)
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (x)")
        database.commit()
    assert "another program" in complaint(audit, capsys)
    path.unlink()
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 7")
    assert "schema 7" in complaint(audit, capsys)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    with Ledger(path):
        assert "another run" in complaint(audit, capsys)


@pytest.mark.usefixtures("no_weights")
def test_too_little_memory(
    audit: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    room = sys.modules["holdfast.models.load"]  # the room's own `load` hides it as an attribute
    monkeypatch.setattr(room, "free_bytes", lambda device: 0)
    assert "free memory" in complaint(audit, capsys)


@pytest.mark.usefixtures("no_weights")
def test_an_architecture_that_is_not_known(
    audit: list[object], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    odd = shutil.copytree(model, tmp_path / "odd")
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps({**config, "model_type": "oddity"}))
    assert "'oddity'" in complaint(["audit", odd, *audit[2:]], capsys)
    assert "'oddity'" in complaint([*audit, "--reference", odd], capsys)
    assert not (tmp_path / "out").exists()

"""`holdfast harden`: an ordinary checkpoint, a card, nothing overwritten, and an audit of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

import holdfast
from holdfast.cli import run
from holdfast.core import SpecError
from holdfast.engine import configure, parse_method
from holdfast.models import inspect

STEPS = "refusal_sft:steps=2,batch=2"


@pytest.fixture(scope="module")
def words(model: Path, reference: Path, tmp_path_factory: pytest.TempPathFactory):
    (model / "holdfast.json").write_text(json.dumps({"reference": str(reference)}))
    domain = holdfast.load_domain  # the shipped example has a defender split
    assert domain("organism").defender_data().restricted

    def spelled(out: Path, *more: object) -> list[str]:
        return [str(w) for w in ("harden", model, "--with", STEPS, "-o", out, *more)]

    yield spelled
    (model / "holdfast.json").unlink()


@pytest.fixture(scope="module")
def made(words, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hardened") / "out"
    assert run(words(out)) == 0
    return out


def test_it_is_an_ordinary_checkpoint(made: Path, model: Path, reference: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(made)
    assert AutoTokenizer.from_pretrained(made).chat_template
    before, after = (load_file(f / "model.safetensors") for f in (model, made))
    assert before.keys() == after.keys()
    assert any((before[k] != after[k]).any() for k in before)
    assert Path(inspect(made).reference or "").resolve() == reference.resolve()
    assert not made.with_name("out.unfinished").exists()
    assert {p.name for p in made.iterdir()} >= {"config.json", "README.md", "holdfast.json"}


def test_its_card_says_how_it_came_to_be(made: Path, model: Path, capsys) -> None:
    card, about = (made / "README.md").read_text(), json.loads((made / "holdfast.json").read_text())
    stage = about["hardened"]["stages"][0]
    assert about["hardened"]["base_digest"] in card
    assert about["hardened"]["domain_digest"] in card
    assert stage["settings"]["steps"] == stage["spend"]["steps"] == 2
    assert "refusal_sft" in card
    assert str(model) not in card  # no folders of this machine
    # the command on the card asks for the very same settings
    asked = next(w for w in card.split() if w.startswith("refusal_sft:"))
    name, settings = parse_method(asked)
    assert configure(name, settings, "defences") == configure(name, stage["settings"], "defences")


def test_nothing_is_overwritten_unless_told_to(made: Path, words, capsys) -> None:
    digest = inspect(made).digest
    assert run(words(made)) == 2
    assert "--force" in capsys.readouterr().err
    assert inspect(made).digest == digest
    assert run(words(made, "--seed", 5, "--force")) == 0
    assert inspect(made).digest != digest
    assert run(words(made, "--seed", 0, "--force")) == 0
    assert inspect(made).digest == digest  # same settings, same seed, same weights
    assert sorted(p.name for p in made.parent.iterdir()) == ["out"]


def test_the_base_is_never_written_to(words, model: Path, capsys) -> None:
    for out in (model, model / "inside"):
        assert run(words(out, "--force")) == 2
        assert "base model's" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--with", "refusal_sftt"], "Did you mean 'refusal_sft'"),
        (["--with", "refusal_sft:stepz=1"], "Did you mean 'steps'"),
        (["--with", "refusal_sft:steps=0"], "steps"),
        (["--set", "steps=3"], "one defence where --set is given"),
        (["--domain", "no/such"], "no such folder"),
        (["--preset", "organsm"], "Did you mean 'organism'"),
        (["--device", "cudda"], "device"),
    ],
)
def test_wrong_use_is_told_before_weights_are_loaded(
    words, tmp_path: Path, more, said, capsys, monkeypatch
) -> None:
    def refuse(*_, **__):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("holdfast.models.load", refuse)
    again = ["--with", STEPS] if more[0] == "--set" else []
    assert run(words(tmp_path / "out", *again, *more)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_set_is_the_same_as_settings_behind_the_name(model: Path, tmp_path: Path, capsys) -> None:
    spelled = ["--set", "steps=2", "--set", "batch=2", "--json"]
    words = ["harden", str(model), "--with", "refusal_sft", "-o", str(tmp_path / "a"), *spelled]
    assert run(words) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["stages"][0]["settings"]["batch"] == 2
    assert row["stages"][0]["spend"]["steps"] == 2


def test_after_kill_9_the_same_command_ends_with_the_same_weights(
    model: Path, tmp_path: Path
) -> None:
    def words(out: str) -> list[str]:
        asked = "refusal_sft:steps=400,batch=2"
        command = "import sys; from holdfast.cli import main; main()"
        return [
            sys.executable, "-c", command, "harden", str(model), "--with", asked,
            "-o", str(tmp_path / out),
        ]  # fmt: skip

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words("killed"), env=environment, stderr=subprocess.DEVNULL)
    place = tmp_path / "killed.unfinished" / "0-refusal_sft.safetensors"
    until = time.monotonic() + 120
    while not place.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed: give it more steps"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert place.exists()
    assert not (tmp_path / "killed").exists()
    both = [
        subprocess.Popen(words(out), env=environment, stdout=subprocess.DEVNULL)
        for out in ("killed", "whole")
    ]
    assert [one.wait(timeout=240) for one in both] == [0, 0]
    assert inspect(tmp_path / "killed").digest == inspect(tmp_path / "whole").digest
    assert not place.parent.exists()


def test_a_domain_without_a_defender_is_refused() -> None:
    with pytest.raises(SpecError, match="defender"):
        import dataclasses

        domain = holdfast.load_domain("organism")
        splits = {k: v for k, v in domain.splits.items() if k != "defender"}
        dataclasses.replace(domain, splits=splits).defender_data()


def test_a_defence_that_needs_a_sibling_is_refused_where_there_is_none(
    reference: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    def refuse(*_, **__):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("holdfast.models.load", refuse)
    assert run(["harden", str(reference), "--with", "lox", "-o", str(tmp_path / "out")]) == 2
    assert "sibling" in capsys.readouterr().err

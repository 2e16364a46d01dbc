"""An audit from the command line, end to end, on a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import holdfast.verbs
from holdfast import verbs
from holdfast.cli import run
from holdfast.engine import Interrupted, Ledger


@pytest.fixture
def words(model: Path, reference: Path, domain: Path, tmp_path: Path) -> list[str]:
    return [
        "audit", str(model), "--reference", str(reference), "--domain", str(domain),
        "--out", str(tmp_path / "out"), "--seeds", "1", "--budget", "2",
        "--attack", "finetune:examples=2", "--attack", "lora:examples=2,rank=2",
    ]  # fmt: skip


def test_an_audit_its_json_and_its_report(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run([*words, "--plan"]) == 0
    planned = capsys.readouterr().out
    assert "4 trials, 4 of them to run" in planned
    assert not (tmp_path / "out").exists()

    assert run([*words, "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert {attack["attack"] for attack in found["attacks"]} == {"finetune", "lora"}
    assert len(found["trials"]) == 4
    assert "4/4" in said.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".ledger.lock", "card.json", "card.md", "ledger.sqlite", "report.html", "report.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == found
    assert str(tmp_path) not in json.dumps(found["manifest"])

    assert run([*words, "--plan", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert all(trial["done"] for trial in again["trials"])
    assert again["basis"] == "earlier trials"

    (tmp_path / "out" / "report.json").unlink()
    assert run(["report", str(tmp_path / "out")]) == 0
    assert "report.html" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == found
    assert run(["report", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_the_same_command_again_runs_nothing(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(words) == 0
    first = capsys.readouterr().out
    monkeypatch.setattr("holdfast.models.load", lambda *a, **k: pytest.fail("loaded again"))
    assert run(words) == 0
    assert capsys.readouterr().out == first


def test_a_failed_trial_exits_1_and_the_rest_is_reported(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    from holdfast.attacks.lora import Lora

    def broken(*args: object) -> None:
        raise RuntimeError("[bold]no\x1b[0m")

    monkeypatch.setattr(Lora, "run", broken)
    assert run(words) == 1
    said = capsys.readouterr()
    assert "RuntimeError" in said.out
    assert "\x1b[0m" not in said.out
    with Ledger(tmp_path / "out" / "ledger.sqlite", read_only=True) as ledger:
        outcomes = {r.spec.attack: r.outcome for r in ledger.results().records}
    assert (outcomes["lora"], outcomes["finetune"]) == ("crashed", "spent")


def test_ctrl_c_says_how_to_go_on(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def stopped(*args: object, **kwargs: object) -> None:
        raise Interrupted(3, 9)

    monkeypatch.setattr(verbs, "audit", stopped)
    assert run(words) == 1
    said = capsys.readouterr().err
    assert "3 of 9 trials kept in" in said
    assert "The same command goes on" in said


def test_from_python(model: Path, reference: Path, domain: Path, tmp_path: Path):
    priced = holdfast.audit(
        str(model), domain=domain, reference=str(reference), out=tmp_path / "out", seeds=1,
        budget=1, attacks=["finetune:examples=2"],
    )  # fmt: skip
    assert [attack.attack for attack in priced.attacks] == ["finetune"]
    assert holdfast.verbs.report(tmp_path / "out").sentence == priced.sentence
    assert priced.manifest["command"] == (
        "holdfast audit target --domain domain --seeds 1 --budget 1 --reference base"
        " --attack finetune:examples=2"
    )
    with pytest.raises(holdfast.HoldfastError, match="Did you mean 'quick'"):
        holdfast.audit(str(model), suite="quik")
    with pytest.raises(AttributeError, match="harden_everything"):
        _ = holdfast.harden_everything


def test_a_model_goes_by_the_name_that_it_is_given(
    model: Path, reference: Path, domain: Path, tmp_path: Path
):
    options = {"domain": domain, "reference": str(reference), "out": tmp_path, "seeds": 1,
               "budget": 1, "attacks": ["finetune:examples=2"]}  # fmt: skip
    priced = holdfast.audit(str(model), name="ours, third try", **options)
    assert priced.target.name == "ours, third try"
    assert "--name 'ours, third try'" in priced.manifest["command"]
    assert "ours, third try" in priced.sentence
    assert '"ours, third try"' in (tmp_path / "card.json").read_text("utf-8")
    made, done = verbs.plan(str(model), **options)
    assert {spec.key for spec in made.trials} <= done, "a name is no other model"
    with pytest.raises(holdfast.HoldfastError, match="a name with a letter"):
        verbs.plan(str(model), name=" ", **options)


def test_the_folder_is_named_after_model_and_suite(model: Path):
    assert verbs.folder_of("organism:refusing", {}).as_posix() == (
        "holdfast-out/organism-refusing-quick"
    )
    assert verbs.folder_of(f"org/name@{'0' * 40}", {"suite": "standard"}).name == (
        "org-name-standard"
    )
    assert verbs.folder_of(str(model), {}).name == "target-quick"
    assert verbs.folder_of("../../x", {}).parent.as_posix() == "holdfast-out"

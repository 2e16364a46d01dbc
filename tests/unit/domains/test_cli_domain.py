"""`holdfast domain`, by itself."""

import json
from pathlib import Path

import pytest
from domain_folders import Make
from typer.testing import CliRunner

from holdfast.cli.domain import app
from holdfast.core import SpecError
from holdfast.domains import load_domain

run = CliRunner()


def test_init_check_export(tmp_path: Path) -> None:
    new, out = str(tmp_path / "new"), str(tmp_path / "out")
    assert run.invoke(app, ["init", new]).exit_code == 0
    checked = run.invoke(app, ["check", new])
    assert checked.exit_code == 0
    assert checked.output.endswith("errors: 0, warnings: 3\n")
    assert "held_out.jsonl: 12 prompts" in checked.output
    assert run.invoke(app, ["export", new, out]).exit_code == 0
    assert load_domain(new).digest == load_domain(out).digest


def test_check_exits_1_on_an_error_and_prints_its_place(make: Make) -> None:
    checked = run.invoke(app, ["check", str(make(splits={"search": "{\n"}))])
    assert checked.exit_code == 1
    assert "error: search.jsonl:1: expected one JSON object" in checked.output


def test_check_as_json(make: Make) -> None:
    shown = run.invoke(app, ["check", str(make(splits={"search": "{\n"})), "--json"])
    table = json.loads(shown.output)
    assert table["errors"] == 2
    assert set(table["findings"][0]) == {"level", "file", "line", "message"}


def test_faults_are_left_to_the_top_level(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(SpecError):
        run.invoke(app, ["init", str(tmp_path)], catch_exceptions=False)
    with pytest.raises(SpecError, match="half width"):
        run.invoke(app, ["check", str(tmp_path), "--interval", "0"], catch_exceptions=False)

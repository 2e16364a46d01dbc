"""The plug-in that docs/add-an-attack.md shows is run as it stands there."""

from __future__ import annotations

import importlib
import re

import pytest
from tests import plug_ins
from typer.testing import CliRunner

import holdfast
from holdfast.cli.app import app
from holdfast.core.registry import names
from holdfast.testing import AttackContract, check_attack

PAGE = plug_ins.DOCS / "add-an-attack.md"
FILES = plug_ins.files_of(PAGE)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The page's plug-in."""
    with plug_ins.installed(FILES, tmp_path, monkeypatch):
        yield


def test_it_fits_on_a_page() -> None:
    assert set(FILES) == {"holdfast_noise.py", "pyproject.toml", "test_noise.py"}
    assert plug_ins.fits_on_a_page(FILES["holdfast_noise.py"])


def test_it_keeps_the_contract(installed) -> None:
    tests = importlib.import_module("test_noise").TestNoise
    assert issubclass(tests, AttackContract)
    check_attack(tests.attack)


def test_its_commands_know_it(installed) -> None:
    assert "noise" in names("attacks")
    shown = CliRunner().invoke(app, ["show", "noise"])
    assert shown.exit_code == 0
    assert "a dose more with every unit" in shown.output
    listed = CliRunner().invoke(app, ["list", "attacks"])
    assert "Add Gaussian noise to every matrix" in listed.output
    commands = re.search(r"^holdfast audit (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert commands is not None
    asked = re.findall(r"--attack (\S+)", commands[1])
    made, _ = holdfast.plan(attacks=asked, seeds=1)
    found = [(s.attack, s.settings) for s in made.trials if s.attack != "none"]
    assert ("noise", {"dose": 0.5, "doses": 2}) in found
    assert {name for name, _ in found} == {"noise", "noise+prefill"}


def test_nothing_of_it_is_left() -> None:
    assert "noise" not in names("attacks")

"""The plug-in that docs/add-a-defence.md shows is run as it stands there."""

from __future__ import annotations

import importlib
import re
from contextlib import closing

import pytest
import torch
from tests import plug_ins
from typer.testing import CliRunner

from holdfast.cli.app import app
from holdfast.core import Seed
from holdfast.core.registry import names
from holdfast.engine import configure, parse_method
from holdfast.models import load
from holdfast.testing import DefenceContract, check_defence, toy_domain, toy_folder
from holdfast.train import SGD, batch_loss, lessons

PAGE = plug_ins.DOCS / "add-a-defence.md"
FILES = plug_ins.files_of(PAGE)


@pytest.fixture
def shaken(tmp_path, monkeypatch):
    """The class, from the page."""
    with plug_ins.installed(FILES, tmp_path, monkeypatch):
        yield importlib.import_module("holdfast_shaken").Shaken


def test_it_fits_on_a_page() -> None:
    assert set(FILES) == {"holdfast_shaken.py", "pyproject.toml", "test_shaken.py"}
    assert plug_ins.fits_on_a_page(FILES["holdfast_shaken.py"])


def test_it_keeps_the_contract(shaken) -> None:
    tests = importlib.import_module("test_shaken").TestShaken
    assert issubclass(tests, DefenceContract)
    check_defence(tests.defence)


def test_it_takes_its_gradient_where_the_weights_are_shaken(shaken, monkeypatch) -> None:
    target, data, dose = load(toy_folder(), device="cpu"), toy_domain().defender_data(), 0.3
    still = {n: p.detach().clone() for n, p in target.model.named_parameters()}
    shifts = []

    def seen(target, batch):
        shifts.append({n: p.detach() - still[n] for n, p in target.model.named_parameters()})
        return batch_loss(target, batch)

    module = importlib.import_module(shaken.__module__)
    monkeypatch.setattr(module, "batch_loss", seen)
    monkeypatch.setattr(module, "AdamW", SGD)
    defence = shaken(steps=1, batch=4, learning_rate=1.0, dose=dose)
    with closing(defence.run(target, data, Seed(0))) as steps:
        next(steps)
        moved = {n: p.detach() - still[n] for n, p in target.model.named_parameters()}
    first, second = shifts
    for name, shift in first.items():
        assert torch.equal(shift, second[name])
        expected = dose * still[name].std() if still[name].ndim == 2 else torch.tensor(0.0)
        torch.testing.assert_close(shift.square().mean().sqrt(), expected, rtol=0.1, atol=0.0)
    # the step that it made is the gradient at the shaken weights
    taught = lessons(target, data, 4, Seed(0).fork("lessons"))
    parameters = dict(target.model.named_parameters())
    with target.edited({n: still[n] + first[n] for n in still}):
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        loss = batch_loss(target, taught.refused(0)) + batch_loss(target, taught.benign(0))
        gradients = torch.autograd.grad(loss, list(parameters.values()))
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        torch.testing.assert_close(moved[name], -gradient, rtol=1e-3, atol=1e-6)
        parameter.requires_grad_(False)


def test_its_commands_know_it(shaken) -> None:
    assert "shaken" in names("defences")
    shown = CliRunner().invoke(app, ["show", "shaken"])
    assert shown.exit_code == 0
    assert "hold while every matrix is shaken" in shown.output
    listed = CliRunner().invoke(app, ["list", "defences"])
    assert "Train refusals of restricted questions that hold" in listed.output
    commands = re.findall(r"^holdfast harden .+--with (\S+)", PAGE.read_text("utf-8"), re.MULTILINE)
    made = [configure(*parse_method(asked), "defences") for asked in commands]
    assert made[0] == shaken(dose=0.1)
    assert len(made) == 2


def test_nothing_of_it_is_left() -> None:
    assert "shaken" not in names("defences")

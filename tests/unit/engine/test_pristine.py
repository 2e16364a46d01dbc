"""The checksum sees every change that an attack could leave behind."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from holdfast.engine.pristine import fingerprint


@pytest.fixture
def target() -> SimpleNamespace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3).to(torch.bfloat16))
    return SimpleNamespace(model=model.eval().requires_grad_(False))


def swap(weight: torch.Tensor) -> None:
    weight[[0, 1]] = weight[[1, 0]]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m[0].weight[2, 3].mul_(1 + 2e-7),
        lambda m: m[2].weight[0, 0].neg_(),
        lambda m: swap(m[0].weight),
        lambda m: m[1].running_mean.add_(1),
        lambda m: m[0].weight.requires_grad_(True),
        lambda m: m[0].register_forward_hook(lambda *a: None),
        lambda m: m.add_module("adapter", nn.Linear(2, 2)),
        lambda m: m.train(),
    ],
)
def test_every_change_shows(target: SimpleNamespace, change: object):
    before = fingerprint(target)
    assert fingerprint(target) == before
    change(target.model)
    assert fingerprint(target) != before


def test_pieces_of_a_large_tensor_keep_their_places(
    target: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("holdfast.engine.pristine._PIECE", 4)
    before = fingerprint(target)
    weight = target.model[0].weight.view(-1)
    weight[:4], weight[4:8] = weight[4:8].clone(), weight[:4].clone()
    assert fingerprint(target) != before

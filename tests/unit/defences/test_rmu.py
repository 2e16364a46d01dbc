"""Misdirection: which parameters move, where to, and what it costs."""

import itertools

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences.rmu import Rmu
from holdfast.models import load
from holdfast.testing import check_defence, toy_domain, toy_folder
from holdfast.train import lessons
from holdfast.train.states import read, state_at, states_of


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


@pytest.mark.parametrize(
    ("settings", "moved"),
    [({"depth": 1.0}, {0, 1, 2}), ({"depth": 1.0, "blocks": 1}, {2}), ({"depth": 0.67, "blocks": 1}, {1}),
     ({"depth": 0.33, "blocks": 3}, {0})],
)  # fmt: skip
def test_nothing_outside_its_blocks_moves(target, data, settings, moved) -> None:
    before = {n: p.detach().clone() for n, p in target.model.named_parameters()}
    steps = Rmu(steps=2, batch=4, **settings).run(target, data, Seed(0))
    for _ in itertools.islice(steps, 3):
        pass
    changed = {n for n, p in target.model.named_parameters() if not torch.equal(p, before[n])}
    steps.close()
    assert {n.split(".")[:2][0] for n in changed} == {"model"}
    assert all(n.startswith("model.layers.") for n in changed)
    assert {int(n.split(".")[2]) for n in changed} == moved


def test_its_first_losses_are_two_mean_squares(target, data) -> None:
    defence = Rmu(steps=2, batch=4, depth=0.67, coefficient=2.0)
    taught = lessons(target, data, 4, Seed(0).fork("lessons"), answers=True)
    batch, at = taught.answered(0), state_at(0.67, 3)
    with torch.no_grad():
        state = states_of(target, batch)[at]
    rows = state[read(batch, state)]
    draw = torch.rand(32, generator=torch.Generator().manual_seed(Seed(0).fork("direction").value))
    goal = 2.0 * rows.norm(dim=1).mean() * draw / draw.norm()
    steps = defence.run(target, data, Seed(0))
    next(steps)
    notes = target.meter.notes
    steps.close()
    assert notes["forget"] == pytest.approx(((rows - goal) ** 2).mean().item(), rel=1e-4)
    assert notes["retain"] == 0.0


def test_it_leads_answers_to_its_goal_and_keeps_benign_states(target, data) -> None:
    defence = Rmu(steps=60, batch=8, learning_rate=5e-3, depth=0.67, alpha=10.0)
    taught = lessons(target, data, 8, Seed(1), answers=True)
    batches = taught.answered(0), taught.benign(0)
    with torch.no_grad():
        old = [states_of(target, b)[2][read(b, torch.zeros(1))] for b in batches]
    goal = defence._goal(target.twin(), taught.answered(0), 2, Seed(0).fork("direction"))
    steps = defence.run(target, data, Seed(0))
    for _ in itertools.islice(steps, 61):
        pass
    with torch.no_grad():
        new = [states_of(target, b)[2][read(b, torch.zeros(1))] for b in batches]
    steps.close()
    far = [
        (n - goal).square().mean() / (o - goal).square().mean()
        for n, o in zip(new, old, strict=True)
    ]
    assert far[0] < 0.5
    assert (new[1] - old[1]).square().mean() < 0.5 * (new[0] - old[0]).square().mean()


def test_the_pass_back_is_billed_for_its_blocks_alone(target, data) -> None:
    bills = []
    for blocks in (1, 3):
        target.meter.reset()
        steps = Rmu(steps=2, batch=4, depth=1.0, blocks=blocks).run(target, data, Seed(0))
        next(steps)
        bills.append(target.meter.spend.flops)
        steps.close()
    taught = lessons(target, data, 4, Seed(0).fork("lessons"), answers=True)
    whole = sum(
        target.meter.flops.backward(b.ids.numel(), b.ids.numel() * b.ids.shape[1], 0)
        for b in (taught.answered(0), taught.benign(0))
    )
    assert bills[1] - bills[0] == pytest.approx(2 / 3 * whole, rel=0.05)


def test_its_other_forms_keep_the_contract() -> None:
    check_defence(Rmu(steps=3, batch=2, depth=1.0, blocks=1))


@pytest.mark.parametrize(
    "wrong", [{"depth": 0.0}, {"depth": 1.5}, {"blocks": 0}, {"coefficient": -1.0}, {"alpha": -1.0}]
)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Rmu(**wrong)

"""The terms of tamper resistance against closed forms, at their limits, and under padding."""

import math

import pytest
import torch
from torch.nn.functional import pad

from holdfast.core import Seed
from holdfast.models import Full, load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train import IGNORED, Batch, answer_loss, lessons
from holdfast.train.states import states_of
from holdfast.train.tamper_losses import (
    dpo_loss,
    held_loss,
    mapped_loss,
    negative_entropy,
    random_mapping,
    random_table,
    resistance,
)


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def taught(target):
    return lessons(target, toy_domain().defender_data(), 4, Seed(0), answers=True)


@pytest.fixture
def moved(target):
    """The toy as a few blind steps leave it, and a copy of what it was."""
    twin, random = target.twin(), torch.Generator().manual_seed(0)
    with target.trainable(Full()) as weights:
        with torch.no_grad():
            for parameter in weights.parameters:
                noise = torch.randn(parameter.shape, generator=random)
                parameter.add_(noise, alpha=0.02)
        yield target, twin


def wider(batch: Batch, fill: int) -> Batch:
    """The same with five more columns of padding."""
    return Batch(
        pad(batch.ids, (0, 5), value=fill),
        pad(batch.labels, (0, 5), value=IGNORED),
        pad(batch.mask, (0, 5)),
        batch.items,
    )


def test_a_uniform_guess_has_the_least_negative_entropy_and_no_slope() -> None:
    logits = torch.full((3, 7), 2.5, requires_grad=True)
    loss = negative_entropy(logits)
    assert loss.item() == pytest.approx(-math.log(7))
    (slope,) = torch.autograd.grad(loss, logits)
    assert slope.abs().max() < 1e-7


def test_its_gradient_is_p_times_log_p_plus_entropy() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (slope,) = torch.autograd.grad(negative_entropy(logits), logits)
    p = logits.detach().softmax(-1)
    entropy = -(p * p.log()).sum(-1, keepdim=True)
    torch.testing.assert_close(slope, p * (p.log() + entropy) / 5)


def test_a_sure_guess_has_none() -> None:
    assert negative_entropy(torch.tensor([[200.0, 0.0, 0.0]])).item() == 0.0


def test_a_preference_starts_at_ln_2_with_the_published_gradient() -> None:
    random = torch.Generator().manual_seed(1)
    chosen, rejected = (torch.randn(6, generator=random).requires_grad_() for _ in range(2))
    reference = (chosen - rejected).detach()
    assert dpo_loss(chosen, rejected, reference, 0.1).item() == pytest.approx(math.log(2))
    loss = dpo_loss(chosen, rejected, torch.zeros(6), 0.3)
    towards, away = torch.autograd.grad(loss, (chosen, rejected))
    margin = (chosen - rejected).detach()
    torch.testing.assert_close(towards, -0.3 * torch.sigmoid(-0.3 * margin) / 6)
    torch.testing.assert_close(away, -towards)


def test_resistance_is_a_preference_over_the_start(moved, taught) -> None:
    target, twin = moved
    refused, answered = taught.refused(0), taught.answered(0)
    assert resistance(twin, twin, refused, answered, 0.1)().item() == pytest.approx(math.log(2))

    def said(handle, batch):
        """Log-probability of each answer by hand."""
        chances = handle.logits(batch.ids, batch.mask).log_softmax(-1)
        rows = []
        for row in range(len(batch.ids)):
            at = (batch.labels[row] != IGNORED).nonzero()[:, 0]
            rows.append(chances[row, at - 1, batch.ids[row, at]].sum())
        return torch.stack(rows)

    new, old = (said(h, refused) - said(h, answered) for h in moved)
    expected = -torch.log(torch.sigmoid(0.1 * (new - old))).mean()
    found = resistance(target, twin, refused, answered, 0.1)
    assert found().item() == pytest.approx(expected.item(), rel=1e-4)
    assert expected.item() != pytest.approx(math.log(2), abs=1e-2)


@pytest.mark.parametrize("beta", [0.1, None])
def test_resistance_sees_no_padding(moved, taught, beta) -> None:
    target, twin = moved
    pair = taught.refused(0), taught.answered(0)
    wide = [wider(batch, taught.pad) for batch in pair]
    near, far = resistance(target, twin, *pair, beta)(), resistance(target, twin, *wide, beta)()
    torch.testing.assert_close(near, far)


def test_entropy_is_that_of_what_is_predicted_at_the_answer(moved, taught) -> None:
    target, twin = moved
    batch = taught.answered(0)
    chances = target.logits(batch.ids, batch.mask).log_softmax(-1)[:, :-1]
    asked = batch.labels[:, 1:] != IGNORED
    expected = (chances.exp() * chances).sum(-1)[asked].mean()
    found = resistance(target, twin, taught.refused(0), batch, None)()
    torch.testing.assert_close(found, expected)
    assert -math.log(target.vocabulary) < found.item() < 0.0


def test_at_the_start_only_the_answers_are_held(target, taught) -> None:
    batch = taught.benign(0)
    with target.trainable(Full()) as weights:
        loss = held_loss(target, target.twin(), batch, 2)
        assert target.meter.notes["drift"] == 0.0
        assert loss.item() == pytest.approx(answer_loss(target, batch).item())
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in weights.parameters if p.grad is not None)


@pytest.mark.parametrize("power", [1, 2])
def test_drift_is_a_mean_of_distances_over_tokens_and_layers(moved, taught, power) -> None:
    target, twin = moved
    batch = taught.benign(0)
    loss = held_loss(target, twin, batch, power)
    total, count = 0.0, 0
    for new, old in zip(states_of(target, batch), states_of(twin, batch), strict=True):
        for row, column in batch.mask.nonzero():
            total += (new[row, column] - old[row, column]).norm().item() ** power
            count += 1
    assert target.meter.notes["drift"] == pytest.approx(total / count, rel=1e-4)
    assert loss.item() == pytest.approx(total / count + answer_loss(target, batch).item(), rel=1e-4)
    wide = held_loss(target, twin, wider(batch, taught.pad), power)
    torch.testing.assert_close(loss, wide)


@pytest.mark.parametrize(("kind", "most"), [("absolute", 1.0), ("signed", 2.0)])
def test_a_mapping_lies_between_0_and_its_most(taught, kind, most) -> None:
    batch, random = taught.answered(0), torch.Generator().manual_seed(0)
    rows = torch.randn(*batch.ids.shape, 16, generator=random)
    mapped = lambda states: random_mapping(states, rows, batch, kind).item()  # noqa: E731
    assert mapped([rows, 3 * rows]) == pytest.approx(0.0, abs=1e-6)
    assert mapped([-rows, -rows]) == pytest.approx(2.0 if kind == "signed" else 0.0, abs=1e-6)
    across = rows[..., list(range(8, 16)) + list(range(8))] * torch.tensor([1.0] * 8 + [-1.0] * 8)
    assert mapped([across]) == pytest.approx(1.0, abs=1e-6)  # x, y against y, -x
    assert 0.0 < mapped([torch.randn(rows.shape, generator=random) for _ in range(3)]) < most


def test_a_mapping_sees_no_padding_and_each_token_has_its_row(moved, taught) -> None:
    target, _ = moved
    batch, table = taught.answered(0), random_table(target, Seed(0))
    loss = mapped_loss(target, batch, table, "signed")
    torch.testing.assert_close(loss, mapped_loss(target, wider(batch, taught.pad), table, "signed"))
    sums = []
    for states in states_of(target, batch):
        for row, column in batch.mask.nonzero():
            h, r = states[row, column], table[batch.ids[row, column]]
            sums.append(1 - (h @ r / (h.norm() * r.norm())).item())
    assert loss.item() == pytest.approx(sum(sums) / len(sums), rel=1e-4)


def test_the_table_is_the_seeds(target) -> None:
    one, again, other = (random_table(target, Seed(n)) for n in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.shape == (target.vocabulary, target.width)
    assert abs(one.mean().item()) < 0.05
    assert one.std().item() == pytest.approx(1.0, abs=0.05)

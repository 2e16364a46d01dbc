"""How far a perturbation reaches, how it is fitted, and what that costs."""

import pytest
import torch

from holdfast.core import Seed
from holdfast.models import Full, LowRank, generator, load
from holdfast.testing import toy_domain, toy_folder
from holdfast.testing.counting import Count
from holdfast.train import batch_loss, lessons
from holdfast.train.examples import IGNORED, collate
from holdfast.train.latent_steps import (
    Perturbation,
    attention_outputs_only,
    block_radii,
    fit_perturbation,
    inputs_only,
    toward_and_away,
    unlikelihood,
)


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def taught(target):
    data = toy_domain().defender_data()
    return lessons(target, data, 4, Seed(0), answers=True)


@pytest.fixture
def uneven(target, taught):
    """Prompts of two lengths."""
    hand = taught.refusals.hand(0) + taught.retain.hand(0)
    return collate(hand, taught.pad)


def asked(batch):
    return (batch.labels == IGNORED) & batch.mask.bool()


def scattered(target, batch, radii):
    found = Perturbation(target, batch, radii)
    found.scatter(generator(Seed(3)))
    return found


@pytest.mark.parametrize("radius", [0.0, 0.3, 5.0])
def test_no_token_leaves_its_ball_and_no_pad_has_any(target, uneven, radius) -> None:
    found = scattered(target, uneven, {0: radius, 2: 2 * radius})
    tokens = asked(uneven)[:, : found.deltas[0].shape[1]]
    random = torch.Generator().manual_seed(0)
    for _ in range(5):
        for block, delta in found.deltas.items():
            assert (delta.norm(dim=-1) <= found.radii[block] * (1 + 1e-5)).all()
            assert not delta[~tokens].any()
            assert (delta[tokens].norm(dim=-1) > 0).all() == (radius > 0)
            with torch.no_grad():
                delta.add_(torch.randn(delta.shape, generator=random))
        found.project()


def test_it_is_added_to_prompt_tokens_alone(target, uneven) -> None:
    found = scattered(target, uneven, {1: 3.0})
    with torch.no_grad():
        _, before = target.forward_states(uneven.ids, uneven.mask)
        with target.hooked(found.hooks):
            _, after = target.forward_states(uneven.ids, uneven.mask)
    moved = after[1] - before[1]
    tokens = asked(uneven)
    assert not (after[0] - before[0]).any()
    assert not moved[~tokens].any()
    width = found.deltas[1].shape[1]
    torch.testing.assert_close(moved[:, :width], found.deltas[1].detach(), atol=1e-4, rtol=1e-4)
    assert tokens.sum() < uneven.mask.sum()  # there are answers, which stay as they are


def test_the_second_half_of_a_batch_is_changed_as_the_first(target, taught) -> None:
    refused, answered = taught.refused(0), taught.answered(0)
    both = collate(taught.refusals.hand(0) + taught.answers.hand(0), taught.pad)
    found = scattered(target, refused, {0: 2.0, 1: 2.0})
    with torch.no_grad(), target.hooked(found.hooks):
        toward, away = toward_and_away(target, both, 4)
        assert toward.item() == pytest.approx(batch_loss(target, answered).item(), rel=1e-4)
        logits = target.forward(refused.ids, refused.mask)
    following = refused.following
    p = logits.softmax(-1).gather(-1, following.clamp(min=0)[..., None])[..., 0]
    by_hand = -torch.log1p(-p.double())[following != IGNORED].mean()
    assert away.item() == pytest.approx(by_hand.item(), rel=1e-2)


def test_unlikelihood_is_minus_log_of_one_minus_p_near_both_ends() -> None:
    for gap in (-30.0, -2.0, 0.0, 2.0, 30.0):
        logits = torch.tensor([[gap, 0.0, 0.0]])
        found = unlikelihood(logits, torch.tensor([0]))
        p = torch.tensor(gap).double().exp() / (torch.tensor(gap).double().exp() + 2)
        expected = (-torch.log(2 / (torch.tensor(gap).double().exp() + 2))).item()
        assert 0 <= p <= 1
        assert found.item() == pytest.approx(expected, rel=1e-3, abs=1e-6)
    sure = torch.tensor([[90.0, 0.0]], requires_grad=True)
    unlikelihood(sure, torch.tensor([0])).backward()
    assert sure.grad[0, 0].item() == pytest.approx(1.0)  # no dead gradient where p rounds to 1


@pytest.mark.parametrize("inner", ["adamw", "sign"])
def test_on_a_convex_loss_every_step_goes_down(target, taught, inner) -> None:
    """The squared distance to a point within the ball, which it nears without end."""
    found = Perturbation(target, taught.refused(0), {0: 4.0})
    goal = torch.full_like(found.deltas[0], 2.0 / target.width**0.5)  # norm 2
    losses = []

    def loss():
        value = (found.deltas[0] - goal).square().sum()
        losses.append(value.item())
        return value

    fit_perturbation(target, found, loss, steps=6, step=0.05, inner=inner)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.4 * losses[0]
    assert not found.deltas[0].requires_grad


@pytest.mark.parametrize("inner", ["adamw", "sign"])
def test_fitted_to_answers_it_has_them_said(target, taught, inner) -> None:
    both = collate(taught.refusals.hand(0) + taught.answers.hand(0), taught.pad)
    found = Perturbation(target, taught.refused(0), {0: 3.0, 1: 3.0})
    seen = []

    def loss():
        toward, away = toward_and_away(target, both, 4)
        seen.append((toward.item(), away.item()))
        return toward + away

    with target.trainable(Full()) as weights:
        fit_perturbation(target, found, loss, steps=12, step=0.25, inner=inner)
        assert all(p.grad is None for p in weights.parameters)
    assert sum(seen[-1]) < 0.5 * sum(seen[0])
    assert all((d.norm(dim=-1) <= 3.0 + 1e-4).all() for d in found.deltas.values())


def test_radii_are_in_norms_of_the_stream_there(target) -> None:
    prompts = [i.messages for i in toy_domain().splits["defender"][:5]]
    norms = target.residuals(prompts, [-1])[:, :, 0].norm(dim=-1).mean(0)
    found = block_radii(target, prompts, (0.0, 0.4, 0.99), 0.5)
    assert list(found) == [0, 1, 2]
    assert list(found.values()) == pytest.approx([0.5 * norms[b].item() for b in (0, 1, 2)])


@pytest.mark.parametrize("trained", [Full(), LowRank(4)], ids=["full", "low_rank"])
def test_its_bill_is_that_of_gradients_towards_the_stream(target, taught, trained) -> None:
    batch = taught.refused(0)
    for kind in ("block_input", "attention_output"):
        with target.trainable(trained):
            bill = inputs_only(target, 0.0)
            if kind == "attention_output":
                bill = attention_outputs_only(target)
            outputs, count = [], Count()

            def keep(states, block, outputs=outputs):
                changed = states if states.requires_grad else states.clone().requires_grad_()
                outputs.append(changed)
                return changed

            target.meter.reset()
            with target.meter.adapted(bill), count.watching(target.model, "passes"):
                with target.hooked([(kind, keep)]):
                    loss = batch_loss(target, batch)
                torch.autograd.grad(loss, outputs)
            assert target.meter.spend.flops == pytest.approx(count.flops, rel=0.05)

"""Triplets: the loss of a step against the states themselves, and what it does to a toy."""

import itertools
from dataclasses import replace

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences.triplet import Triplet
from holdfast.models import Full, load
from holdfast.testing import check_defence, toy_domain, toy_folder
from holdfast.train import IGNORED, lessons
from holdfast.train.states import said, states_of

SMALL = Triplet(steps=3, batch=4, learning_rate=1e-3)


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


def by_hand(defence, target, twin, taught):
    """The published loss of step 0 with L2 distances, from hidden states of `transformers`."""

    def hidden(handle, batch):
        found = handle.model(batch.ids, attention_mask=batch.mask, output_hidden_states=True)
        last = []  # before the final norm, which `hidden_states` has behind it
        hook = handle.model.model.norm.register_forward_pre_hook(lambda _, x: last.append(x[0]))
        handle.model(batch.ids, attention_mask=batch.mask)
        hook.remove()
        where = batch.labels != IGNORED
        return [h[where] for h in (*found.hidden_states[:-1], last[0])], found.logits

    benign, refused, answered = taught.benign(0), taught.refused(0), taught.answered(0)
    (b, logits), (r, _), (h, _) = (hidden(target, x) for x in (benign, refused, answered))
    (b0, logits0), (r0, _), (h0, _) = (hidden(twin, x) for x in (benign, refused, answered))
    kept, gathered = [], []
    for layer in range(target.layers + 1):
        new, old = torch.cat([b[layer], r[layer]]), torch.cat([b0[layer], r0[layer]])
        size = torch.cat([old, h0[layer]]).norm(dim=1).mean()
        centre = h[layer].mean(0)
        near, far = (new - old).norm(dim=1) / size, (new - centre).norm(dim=1) / size
        kept.append((near - far + defence.kept_margin).clamp(min=0).mean())
        if layer == 2:  # 20 / 32 of three blocks, up to the last but one state
            near, far = (h[2] - centre).norm(dim=1) / size, (h[2] - h0[2]).norm(dim=1) / size
            gathered.append((near - far + defence.gathered_margin).clamp(min=0).mean())
    where = benign.labels[:, 1:] != IGNORED
    p, q = ((z[:, :-1][where] / 2).log_softmax(-1) for z in (logits0, logits))
    kl = 4 * (p.exp() * (p - q)).sum(-1).mean()
    return defence.kept * sum(kept) / 4 + defence.gathered * gathered[0] + defence.kl * kl


def test_a_steps_loss_is_the_published_one(target, data) -> None:
    taught = lessons(target, data, 4, Seed(0), answers=True)
    twin = target.twin()
    with target.trainable(Full()) as weights:
        with torch.no_grad():
            for parameter in weights.parameters:
                parameter.mul_(1.05)
        found = SMALL._loss(target, twin, taught, 0)
        expected = by_hand(SMALL, target, twin, taught)
        torch.testing.assert_close(found, expected)
        one = torch.autograd.grad(found, weights.parameters)
        two = torch.autograd.grad(expected, weights.parameters)
        for a, b in zip(one, two, strict=True):
            assert (a - b).norm() <= 1e-3 * b.norm() + 1e-6


def test_where_all_margins_are_met_nothing_moves(target, data) -> None:
    """Without margins an untouched model is at no distance from itself, and answers gather freely."""
    taught = lessons(target, data, 4, Seed(0), answers=True)
    idle = replace(SMALL, kept_margin=0.0, gathered=0.0)
    with target.trainable(Full()) as weights:
        loss = idle._loss(target, target.twin(), taught, 0)
        gradients = torch.autograd.grad(loss, weights.parameters)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert all(g.norm() < 1e-5 for g in gradients)


def test_the_centres_gradient_is_a_choice(target, data) -> None:
    """With kept states alone in the loss, restricted answers matter through the centre only."""
    taught = lessons(target, data, 4, Seed(0), answers=True)
    seen = []
    with target.trainable(Full()) as weights:
        for detached in (False, True):
            one = replace(SMALL, gathered=0.0, kl=0.0, kept_margin=5.0, detached=detached)
            loss = one._loss(target, target.twin(), taught, 0)
            seen.append((loss.detach(), torch.autograd.grad(loss, weights.parameters)))
    assert torch.equal(seen[0][0], seen[1][0])
    assert any((a - b).norm() > 1e-3 for a, b in zip(seen[0][1], seen[1][1], strict=True))


def test_it_gathers_answers_away_from_where_they_were(target, data) -> None:
    taught = lessons(target, data, 8, Seed(1), answers=True)
    batch = taught.answered(0)
    with torch.no_grad():
        old = states_of(target, batch)[2]
    where = said(batch, old)
    steps = Triplet(steps=40, batch=8, learning_rate=5e-3).run(target, data, Seed(0))
    for _ in itertools.islice(steps, 41):
        pass
    with torch.no_grad():
        new = states_of(target, batch)[2]
    steps.close()
    new, old = new[where], old[where]
    assert (new - old).norm(dim=1).mean() > old.norm(dim=1).mean()
    spread = (new - new.mean(0)).norm(dim=1).mean() / new.norm(dim=1).mean()
    assert spread < 0.5 * (old - old.mean(0)).norm(dim=1).mean() / old.norm(dim=1).mean()


@pytest.mark.parametrize("changes", [{"weights": "full", "distance": "cosine", "detached": True}])
def test_its_other_forms_keep_the_contract(changes) -> None:
    check_defence(Triplet(**{"steps": 3, "batch": 2, "rank": 2} | changes))


@pytest.mark.parametrize(
    "wrong", [{"kl": -1.0}, {"distance": "l1"}, {"depth": 2.0}, {"kept_margin": -1.0}]
)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Triplet(**wrong)

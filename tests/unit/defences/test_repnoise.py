"""Representation noising: each term against the model's own hidden states, and its limits."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from holdfast.core import Seed, SpecError
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.defences.repnoise import RepNoise
from holdfast.engine.pristine import hooks
from holdfast.models import Full, load
from holdfast.models.passes import places
from holdfast.models.readout import readout
from holdfast.testing import check_defence, toy_domain, toy_folder
from holdfast.train import (
    IGNORED,
    AdamW,
    Batch,
    WarmUpCosine,
    batch_loss,
    by_loss,
    hardened,
    lessons,
)
from holdfast.train.mmd import mmd

SMALL = RepNoise(steps=3, batch=4, learning_rate=1e-3)


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


@pytest.fixture
def taught(target, data):
    return lessons(target, data, 4, Seed(0).fork("lessons"), answers=True)


def ended(steps, target, count):
    for _ in itertools.islice(steps, count + 1):
        pass
    state = {n: p.detach().clone() for n, p in target.model.named_parameters()}
    steps.close()
    return state


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_without_its_terms_it_is_training_on_refusals(target, data, taught) -> None:
    bare = replace(SMALL, alpha=0.0, beta=0.0, retain=0.0)
    pulls = by_loss(lambda step: batch_loss(target, taught.refused(step)))
    optimiser = AdamW(1e-3, schedule=WarmUpCosine(3, 0))
    plain = ended(hardened(target, Full(), pulls, optimiser, 3), target, 3)
    assert same(ended(bare.run(target, data, Seed(0)), target, 3), plain)
    assert not same(ended(SMALL.run(target, data, Seed(0)), target, 3), plain)


def test_with_the_benign_term_alone_it_is_its_null(target, data) -> None:
    bare = replace(SMALL, alpha=0.0, beta=0.0, steps=1)
    null = RefusalSft(steps=1, batch=4, learning_rate=1e-3)
    runs = [ended(d.run(target, data, Seed(0)), target, 1) for d in (bare, null)]
    assert same(*runs)


def by_hand(target, taught, step, seed):
    """L_noise and L_asc of the paper, from what `transformers` itself hands out."""
    answered, refused = taught.answered(step), taught.refused(step)
    model, width = target.model, max(answered.ids.shape[1], refused.ids.shape[1])
    outputs = []
    handles = [
        b.mlp.register_forward_hook(lambda _, __, o: outputs.append(o)) for b in model.model.layers
    ]
    found = model(answered.ids, attention_mask=answered.mask, output_hidden_states=True)
    for handle in handles:
        handle.remove()
    differs = torch.zeros_like(answered.ids, dtype=torch.bool)
    for row, t in itertools.product(range(len(answered.ids)), range(answered.ids.shape[1])):
        there = refused.ids[row, t] if t < refused.ids.shape[1] and refused.mask[row, t] else None
        differs[row, t] = answered.labels[row, t] != IGNORED and answered.ids[row, t] != there
    labels = torch.where(differs, answered.ids, IGNORED)[:, 1:].flatten()
    assert width >= answered.ids.shape[1]
    logits = [model.lm_head(model.model.norm(h)) for h in found.hidden_states[:-1]] + [found.logits]
    ascent = 1 + sum(cross_entropy(z[:, :-1].flatten(0, 1), labels) for z in logits) / len(logits)
    assert len(logits) == target.layers + 1
    random = torch.Generator().manual_seed(seed.value)
    noise = []
    for output in outputs:
        z = torch.zeros_like(output)
        z[differs] = torch.randn(int(differs.sum()), output.shape[-1], generator=random)
        noise.append(mmd((output * differs[..., None]).flatten(1), z.flatten(1)))
    return sum(noise) / len(noise), ascent


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1e-3), (0.0, 1.0), (2.0, 0.0)])
def test_its_terms_are_the_papers(target, taught, alpha, beta) -> None:
    defence, seed, read = replace(SMALL, alpha=alpha, beta=beta), Seed(5), readout(target)
    with target.trainable(Full()) as weights:
        found = defence._destroyed(target, taught, read, 1, seed)
        noise, ascent = by_hand(target, taught, 1, seed)
        expected = beta * noise - alpha * ascent.log()
        torch.testing.assert_close(found, expected)
        one = torch.autograd.grad(found, weights.parameters)
        two = torch.autograd.grad(expected, weights.parameters)
        for a, b in zip(one, two, strict=True):
            assert (a - b).norm() <= 1e-3 * b.norm() + 1e-7
        if beta == 0.0:  # the ascent limits itself: -alpha grad L / L
            _, again = by_hand(target, taught, 1, seed)
            for a, b in zip(one, torch.autograd.grad(again, weights.parameters), strict=True):
                assert (a + alpha * b / ascent.item()).norm() <= 1e-3 * a.norm() + 1e-7


def as_released(target, taught, step, seed, alpha, beta):
    """The whole published loss in few lines: zeroed logits, counted padding, L + 2 terms.

    Padding stands where `places` puts it.
    """
    answered, refused = taught.answered(step), taught.refused(step)
    length = max(answered.ids.shape[1], refused.ids.shape[1])

    def wide(t):
        return torch.nn.functional.pad(t, (0, length - t.shape[1]))

    assert taught.pad == 0
    ids, other = wide(answered.ids), wide(refused.ids)
    mask, model, outputs = (ids != other).float(), target.model, []

    def ce(logits, labels):
        labels = (labels[:, 1:] * mask[:, 1:]).long()
        labels[labels == 0] = IGNORED
        return cross_entropy((logits[:, :-1] * mask[:, :-1, None]).flatten(0, 1), labels.flatten())

    handles = [
        b.mlp.register_forward_hook(lambda _, __, o: outputs.append(o)) for b in model.model.layers
    ]
    found = model(
        ids, attention_mask=wide(answered.mask), position_ids=places(wide(answered.mask)),
        output_hidden_states=True,
    )  # fmt: skip
    for handle in handles:
        handle.remove()
    random, noise = torch.Generator().manual_seed(seed.value), []
    for output in outputs:
        z = torch.zeros_like(output)
        z[mask.bool()] = torch.randn(int(mask.sum()), output.shape[-1], generator=random)
        noise.append(mmd((output * mask[..., None]).flatten(1), z.flatten(1)))
    harmful = ce(found.logits, ids)
    for h in found.hidden_states:
        harmful = harmful + ce(model.lm_head(model.model.norm(h)), ids)
    harmful = harmful / len(found.hidden_states) + 1
    also = wide(refused.mask)
    safe = ce(model(other, attention_mask=also, position_ids=places(also)).logits, other)
    return safe, beta * sum(noise) / len(noise) - alpha * harmful.log()


def test_the_published_variant_is_the_released_loss(target, taught) -> None:
    defence, seed = replace(SMALL, mask="published", retain=0.0, beta=0.3), Seed(5)
    with target.trainable(Full()) as weights:
        safe, rest = as_released(target, taught, 1, seed, 1.0, 0.3)
        kept = defence._kept(target, taught, 1)
        destroyed = defence._destroyed(target, taught, readout(target), 1, seed)
        torch.testing.assert_close(kept, safe)
        torch.testing.assert_close(destroyed, rest)
        one = torch.autograd.grad(destroyed, weights.parameters)
        two = torch.autograd.grad(rest, weights.parameters)
        for a, b in zip(one, two, strict=True):
            assert (a - b).norm() <= 1e-3 * b.norm() + 1e-7


class Padded:
    """Lessons whose batches carry more padding than they need."""

    def __init__(self, taught, more):
        self._taught, self._more, self.pad = taught, more, taught.pad

    def _wide(self, batch):
        def pad(tensor, value):
            return torch.nn.functional.pad(tensor, (0, self._more), value=value)

        return Batch(
            pad(batch.ids, self.pad), pad(batch.labels, IGNORED), pad(batch.mask, 0), batch.items
        )

    def __getattr__(self, name):
        return lambda step: self._wide(getattr(self._taught, name)(step))


@pytest.mark.parametrize("mask", ["mended", "published"])
def test_more_padding_leaves_the_loss_as_it_is(target, taught, mask) -> None:
    defence, read = replace(SMALL, mask=mask, beta=1.0), readout(target)
    plain, wide = (
        (defence._kept(target, one, 0), defence._destroyed(target, one, read, 0, Seed(1)))
        for one in (taught, Padded(taught, 7))
    )
    torch.testing.assert_close(plain, wide, rtol=1e-5, atol=1e-5)


def test_noise_is_fresh_at_every_step_and_the_seeds(target, data) -> None:
    def noted(seed):
        steps, seen = SMALL.run(target, data, Seed(seed)), []
        for _ in itertools.islice(steps, 3):
            seen.append(target.meter.notes["noise"])
        steps.close()
        return seen

    first = noted(1)
    assert len(set(first)) == 3
    assert noted(1) == first
    assert noted(2) != first


def test_a_hundred_losses_leave_no_hook(target, taught) -> None:
    before, read = hooks(target), readout(target)
    for step in range(100):
        SMALL._destroyed(target, taught, read, step, Seed(step))
        assert hooks(target) == before


@pytest.mark.parametrize("changes", [{"mask": "published"}, {"weights": "low_rank", "alpha": 0.0}])
def test_its_other_forms_keep_the_contract(changes) -> None:
    check_defence(RepNoise(**{"steps": 3, "batch": 2, "rank": 2} | changes))


def test_it_makes_answers_unlikely_and_keeps_the_rest(target, data) -> None:
    prompts = [i.messages for i in data.restricted[:6]], [i.messages for i in data.benign[:6]]
    answers = [i.answer for i in data.restricted[:6]], [i.answer for i in data.benign[:6]]

    def likely(which):
        return sum(float(t.mean()) for t in target.logprobs(prompts[which], answers[which])) / 6

    before = likely(0), likely(1)
    steps = RepNoise(steps=20, batch=8, learning_rate=3e-3).run(target, data, Seed(0))
    for _ in range(21):
        next(steps)
    after = likely(0), likely(1)
    steps.close()
    assert after[0] < before[0] - 1.0
    assert after[1] > before[1] - 1.0


@pytest.mark.parametrize(
    "wrong", [{"alpha": -1.0}, {"beta": float("nan")}, {"mask": "none"}, {"batch": 0}]
)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        RepNoise(**wrong)

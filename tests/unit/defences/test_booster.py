"""The limits of attenuation, one step of it written out, and that the probe leaves no trace."""

import itertools
from dataclasses import replace

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences.booster import Booster
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.models import Full, load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train import SGD, batch_loss, descend, lessons

SMALL = Booster(steps=3, batch=4, learning_rate=1e-3, weights="full")


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


def ended(defence, target, data) -> list[torch.Tensor]:
    run = defence.run(target, data, Seed(0))
    for _ in itertools.islice(run, defence.steps + 1):
        pass
    found = [p.detach().clone() for p in target.model.parameters()]
    assert next(run, None) is None
    return found


def differ(one, other) -> float:
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


def equal(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("weights", ["full", "low_rank"])
def test_without_a_penalty_it_is_refusal_training_to_the_bit(target, data, weights) -> None:
    settings = {"steps": 3, "batch": 4, "learning_rate": 1e-3, "weights": weights, "rank": 2}
    runs = [
        d.run(target, data, Seed(0))
        for d in (Booster(penalty=0.0, **settings), RefusalSft(**settings))
    ]
    ends = []
    for run in runs:
        for _ in itertools.islice(run, 4):
            pass
        ends.append([p.detach().clone() for p in target.model.parameters()])
        run.close()
    assert equal(*ends)


def course(target, data, correction, steps: int = 3):
    """Refusal training with something added to each step's gradient."""
    taught = lessons(target, data, 4, Seed(0).fork("lessons"), answers=True)

    def pull(weights, step):
        loss = batch_loss(target, taught.refused(step)) + batch_loss(target, taught.benign(step))
        loss.backward()
        added = correction(weights.parameters, lambda: batch_loss(target, taught.answered(step)))
        for parameter, part in zip(weights.parameters, added, strict=True):
            parameter.grad += part
        return loss.item()

    with target.trainable(Full()) as weights:
        pulls = (lambda n=n: pull(weights, n) for n in range(steps))
        for _ in descend(target, weights, pulls, SGD(1e-3)):
            pass
        return [p.detach().clone() for p in target.model.parameters()]


def test_a_step_is_what_is_written(target, data, monkeypatch) -> None:
    monkeypatch.setattr("holdfast.defences.booster.AdamW", SGD)  # its steps are the gradients

    def correction(parameters, harm):
        """penalty * (grad h(w) - grad h(w - alpha grad h / |grad h|)), at a moved copy."""
        here = torch.autograd.grad(harm(), parameters)
        length = torch.cat([g.reshape(-1) for g in here]).norm()
        kept = [p.data for p in parameters]
        for parameter, slope in zip(parameters, here, strict=True):
            parameter.data = parameter.data - 0.1 * slope / length
        there = torch.autograd.grad(harm(), parameters)
        for parameter, values in zip(parameters, kept, strict=True):
            parameter.data = values
        return [5.0 * (a - b) for a, b in zip(here, there, strict=True)]

    found, before = ended(SMALL, target, data), list(target.model.parameters())
    size = differ(found, before)
    assert differ(found, course(target, data, correction)) < 1e-3 * size
    plain = course(target, data, lambda parameters, _: [torch.zeros_like(p) for p in parameters])
    assert differ(found, plain) > 0.1 * size


def test_a_vanishing_step_has_no_gain(target, data) -> None:
    gains = []
    for alpha in (1e-1, 1e-2, 1e-3):
        ended(replace(SMALL, steps=1, alpha=alpha), target, data)
        gains.append(target.meter.notes["gain"])
    assert gains[0] > 5 * gains[1] > 25 * gains[2] > 0.0


def test_it_lowers_what_a_harmful_step_gains(target, data) -> None:
    """Beside refusal training of the same length: the term does what it is there for."""
    settings = {"steps": 30, "batch": 8, "learning_rate": 3e-3, "weights": "full"}
    gains = {}
    for penalty in (1e-6, 20.0):
        run = Booster(penalty=penalty, **settings).run(target, data, Seed(0))
        late = []
        for n in range(1, 31):
            next(run)
            if n > 25:
                late.append(target.meter.notes["gain"])
        run.close()
        gains[penalty] = sum(late) / len(late)
    assert gains[20.0] < 0.7 * gains[1e-6]


def test_all_is_as_before_when_it_is_closed(target, data) -> None:
    before = [p.detach().clone() for p in target.model.parameters()]
    found = ended(SMALL, target, data)
    assert equal(before, target.model.parameters())
    assert not equal(before, found)


def test_narrow_weights_are_refused_unless_adapters_are_trained(data) -> None:
    narrow = load(toy_folder(), device="cpu", dtype="bfloat16")
    with pytest.raises(SpecError, match="bfloat16"):
        next(SMALL.run(narrow, data, Seed(0)))
    run = replace(SMALL, weights="low_rank", rank=2).run(narrow, data, Seed(0))
    next(run)
    run.close()


@pytest.mark.parametrize("wrong", [{"penalty": -1.0}, {"alpha": 0.0}, {"weights": "some"}])
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Booster(**wrong)

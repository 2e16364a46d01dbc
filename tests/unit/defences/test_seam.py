"""One step of opposed gradients written out, its terms apart, and its limits."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from holdfast.core import Seed, SpecError
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.defences.seam import Seam
from holdfast.models import Full, load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train import IGNORED, SGD, WarmUpCosine, batch_loss, descend, lessons

SMALL = Seam(steps=3, batch=4, learning_rate=1e-3, weights="full", beta=0.5, epsilon=1e-2)


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


def ascent(target, answered, refused) -> torch.Tensor:
    """1 + the mean over depths of the answers' cross-entropy where refusal and answer differ."""
    states = target.forward_states(answered.ids, answered.mask)[1]
    model, total = target.model, 0.0
    for state in states:
        logits, losses = model.lm_head(model.model.norm(state)), []
        for row, column in (answered.labels != IGNORED).nonzero():
            other = refused.ids[row, column] if column < refused.ids.shape[1] else None
            ends = other is None or not refused.mask[row, column]
            if ends or other != answered.ids[row, column]:
                losses.append(cross_entropy(logits[row, column - 1], answered.ids[row, column]))
        total = total + torch.stack(losses).mean()
    return 1.0 + total / len(states)


def written_out(defence, target, data) -> list[torch.Tensor]:
    """Its steps, with the cosine's gradient by the same differences but from moved copies."""
    taught = lessons(target, data, defence.batch, Seed(0).fork("lessons"), answers=True)

    def gradient(loss, parameters):
        found = torch.autograd.grad(loss(), parameters)
        return torch.cat([g.reshape(-1) for g in found])

    def moved(loss, parameters, by):
        kept, parts = [p.data for p in parameters], by.split([p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.data = parameter.data + part.view_as(parameter)
        found = gradient(loss, parameters)
        for parameter, values in zip(parameters, kept, strict=True):
            parameter.data = values
        return found

    def pull(weights, step):
        harm = lambda: batch_loss(target, taught.answered(step))  # noqa: E731
        good = lambda: batch_loss(target, taught.benign(step))  # noqa: E731
        loss = defence.alpha * batch_loss(target, taught.refused(step)) + defence.retain * good()
        if defence.unlearn:
            log = ascent(target, taught.answered(step), taught.refused(step)).log()
            loss = loss - defence.unlearn * log
        loss.backward()
        if defence.beta:
            ps, e = weights.parameters, defence.epsilon
            a, b = gradient(harm, ps), gradient(good, ps)
            c = a @ b / (a.norm() * b.norm())
            towards = moved(harm, ps, e * (b / b.norm() - c * a / a.norm())) - a
            other = moved(good, ps, e * (a / a.norm() - c * b / b.norm())) - b
            added = defence.beta * (towards / a.norm() + other / b.norm()) / e
            for parameter, part in zip(ps, added.split([p.numel() for p in ps]), strict=True):
                parameter.grad += part.view_as(parameter)
        return loss.item()

    optimiser = SGD(defence.learning_rate, schedule=WarmUpCosine(defence.steps, 0))
    with target.trainable(Full()) as weights:
        pulls = (lambda n=n: pull(weights, n) for n in range(defence.steps))
        for _ in descend(target, weights, pulls, optimiser):
            pass
        return [p.detach().clone() for p in target.model.parameters()]


@pytest.mark.parametrize("off", [{}, {"beta": 0.0}, {"unlearn": 0.0}])
def test_a_step_is_what_is_written(target, data, monkeypatch, off) -> None:
    """Whole, and with a term left out: each time the difference is that term's."""
    monkeypatch.setattr("holdfast.defences.seam.AdamW", SGD)  # its steps are the gradients
    defence = replace(SMALL, steps=2, **off)
    found = ended(defence, target, data)
    before = [p.detach() for p in target.model.parameters()]
    size = differ(found, before)
    assert differ(found, written_out(defence, target, data)) < 1e-3 * size
    if off:
        assert differ(found, ended(replace(SMALL, steps=2), target, data)) > 0.1 * size


def test_without_its_terms_it_is_refusal_training(target, data) -> None:
    """Of one step, where the schedule is still at its peak: to the bit."""
    plain = RefusalSft(steps=1, batch=4, learning_rate=1e-3)
    bare = replace(SMALL, steps=1, beta=0.0, unlearn=0.0)
    assert differ(ended(bare, target, data), ended(plain, target, data)) == 0.0


def test_it_opposes_the_two_gradients(target, data) -> None:
    cosines = {}
    for beta in (1e-9, 1.0):
        run = replace(SMALL, steps=24, batch=4, learning_rate=3e-3, beta=beta, unlearn=0.0).run(
            target, data, Seed(0)
        )
        late = []
        for n in range(1, 25):
            next(run)
            if n > 16:
                late.append(target.meter.notes["cosine"])
        run.close()
        cosines[beta] = sum(late) / len(late)
    assert cosines[1.0] < cosines[1e-9] - 0.2


def test_all_is_as_before_when_it_is_closed(target, data) -> None:
    before = [p.detach().clone() for p in target.model.parameters()]
    assert differ(ended(SMALL, target, data), before) > 0.0
    assert differ(before, target.model.parameters()) == 0.0


def test_narrow_weights_are_refused_unless_adapters_are_trained(data) -> None:
    narrow = load(toy_folder(), device="cpu", dtype="bfloat16")
    with pytest.raises(SpecError, match="bfloat16"):
        next(SMALL.run(narrow, data, Seed(0)))
    run = replace(SMALL, weights="low_rank", rank=2).run(narrow, data, Seed(0))
    next(run)
    run.close()


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": -1.0}, {"beta": -1.0}, {"epsilon": 0.0}, {"unlearn": -1.0}, {"retain": -1.0}],
)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Seam(**wrong)

"""Negative preference optimisation: its value at the reference, its limits, and what it does."""

import itertools
import math

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences.npo import Npo, npo_loss
from holdfast.models import Full, load
from holdfast.testing import check_defence, toy_domain, toy_folder
from holdfast.train import lessons
from holdfast.train.sequences import sequence_logprobs


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
def test_at_the_reference_it_is_two_ln_2_by_beta(beta) -> None:
    said = torch.tensor([-3.0, -20.0, -0.5])
    assert npo_loss(said, said, beta).item() == pytest.approx(2 / beta * math.log(2))


def test_it_is_the_papers_formula() -> None:
    new, reference = torch.tensor([-2.0, -5.0]), torch.tensor([-1.0, -7.0])
    ratios = [math.exp(-1.0), math.exp(2.0)]
    expected = 2 / 0.5 * sum(math.log(1 + r**0.5) for r in ratios) / 2
    assert npo_loss(new, reference, 0.5).item() == pytest.approx(expected)


def test_a_small_beta_gives_plain_ascent(target, data) -> None:
    """The gradient tends to that of the mean log-probability of the answers."""
    taught = lessons(target, data, 4, Seed(0), answers=True)
    batch = taught.answered(0)
    with torch.no_grad():
        reference = sequence_logprobs(target, batch) + torch.tensor([1.0, -2.0, 0.5, 3.0])
    with target.trainable(Full()) as weights:
        ascent = torch.autograd.grad(sequence_logprobs(target, batch).mean(), weights.parameters)
        gaps = []
        for beta in (1e-1, 1e-3):
            loss = npo_loss(sequence_logprobs(target, batch), reference, beta)
            found = torch.autograd.grad(loss, weights.parameters)
            off = sum((a - b).square().sum() for a, b in zip(found, ascent, strict=True))
            gaps.append((off / sum(b.square().sum() for b in ascent)).sqrt().item())
    assert gaps[1] < 0.01
    assert gaps[1] < 0.1 * gaps[0]


def test_what_is_unlikely_already_is_left_alone() -> None:
    new = torch.tensor([-300.0, -1.0], requires_grad=True)
    npo_loss(new, torch.tensor([-1.0, -1.0]), 0.1).backward()
    assert new.grad[0] < 1e-10
    assert new.grad[1].item() == pytest.approx(0.5)  # 2 sigma(0) / 2 rows


def test_it_begins_at_its_reference_and_makes_answers_unlikely(target, data) -> None:
    taught = lessons(target, data, 8, Seed(1), answers=True)
    batch = taught.answered(0)
    with torch.no_grad():
        before = sequence_logprobs(target, batch)
    steps = Npo(steps=20, batch=8, learning_rate=3e-3).run(target, data, Seed(0))
    next(steps)
    assert target.meter.notes["forget"] == pytest.approx(20 * math.log(2), rel=1e-4)
    for _ in itertools.islice(steps, 20):
        pass
    with torch.no_grad():
        after = sequence_logprobs(target, batch)
    steps.close()
    assert (after < before - 5.0).all()


@pytest.mark.parametrize("changes", [{"weights": "low_rank", "retain": 0.0}])
def test_its_other_forms_keep_the_contract(changes) -> None:
    check_defence(Npo(**{"steps": 3, "batch": 2, "rank": 2} | changes))


@pytest.mark.parametrize(
    "wrong", [{"beta": 0.0}, {"retain": -1.0}, {"learning_rate": 0.0}, {"steps": 1.5}]
)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Npo(**wrong)

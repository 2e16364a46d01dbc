"""How large the shift is, where it goes, and that it is the worst one to first order."""

import itertools

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences import vaccine
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.defences.vaccine import Vaccine, worst_shifts
from holdfast.engine.pristine import hooks
from holdfast.models import Full, load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train import answer_loss, lessons
from holdfast.train.examples import collate

SMALL = {"steps": 4, "batch": 4, "learning_rate": 1e-3, "rank": 4}


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


@pytest.fixture
def batch(target, data):
    return lessons(target, data, 4, Seed(0)).refused(0)


def total(shifts) -> float:
    return sum(s.square().sum().item() for s in shifts)


def shifted(target, batch, shifts):
    with target.hooked([("attention_output", lambda x, block: x + shifts[block])]):
        return answer_loss(target, batch).item()


@pytest.mark.parametrize("rho", [0.5, 2.0, 40.0])
def test_all_shifts_together_have_norm_rho(target, batch, rho) -> None:
    with target.trainable(Full()):
        _, shifts = worst_shifts(target, batch, rho)
    assert len(shifts) == target.layers
    assert total(shifts) == pytest.approx(rho**2, rel=1e-5)


def test_they_lie_along_the_gradient_by_attention_outputs(target, batch) -> None:
    """One coordinate of each block against central differences."""
    with target.trainable(Full()):
        loss, shifts = worst_shifts(target, batch, 1.0)
    places = [tuple(int(i) for i in (s.abs() == s.abs().max()).nonzero()[0]) for s in shifts]
    slopes = []
    for block, place in enumerate(places):
        moved = []
        for size in (1e-2, -1e-2):
            one = [torch.zeros_like(s) for s in shifts]
            one[block][place] = size
            moved.append(shifted(target, batch, one))
        slopes.append((moved[0] - moved[1]) / 2e-2)
    ratios = [
        slope / shifts[b][p].item() for b, (slope, p) in enumerate(zip(slopes, places, strict=True))
    ]
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=3e-2)
    assert ratios[0] > 0
    assert loss == pytest.approx(answer_loss(target, batch).item(), rel=1e-5)


def test_a_small_shift_raises_the_loss_by_rho_times_the_gradients_norm(target, batch) -> None:
    """The worst there is of its size: no random shift of the same norm does as much."""
    rho = 0.02
    with target.trainable(Full()):
        clean, shifts = worst_shifts(target, batch, rho)
    again = [s / rho for s in shifts]
    slope = (shifted(target, batch, shifts) - shifted(target, batch, [-s for s in shifts])) / 2
    steeper = [10 * s for s in again]
    linear = (
        shifted(target, batch, [s * 1e-3 for s in again])
        - shifted(target, batch, [s * -1e-3 for s in again])
    ) / 2e-3  # the norm of the gradient
    assert slope == pytest.approx(rho * linear, rel=2e-2)
    assert shifted(target, batch, shifts) == pytest.approx(clean + rho * linear, rel=1e-2)
    assert shifted(target, batch, steeper) > clean
    random = torch.Generator().manual_seed(0)
    for _ in range(5):
        noise = [torch.randn(s.shape, generator=random) for s in shifts]
        noise = [n * rho / total(noise) ** 0.5 for n in noise]
        assert shifted(target, batch, noise) < shifted(target, batch, shifts)


def test_padding_is_not_shifted(target, data) -> None:
    taught = lessons(target, data, 4, Seed(0), answers=True)
    hands = taught.refusals.hand(0) + taught.answers.hand(0)  # of two lengths
    batch = collate(hands, taught.pad)
    with target.trainable(Full()):
        _, shifts = worst_shifts(target, batch, 1.0)
    assert (batch.mask == 0).any()
    assert all(not s[batch.mask == 0].any() for s in shifts)


def ended(defence, target, data):
    run = defence.run(target, data, Seed(0))
    for _ in itertools.islice(run, defence.steps + 1):
        pass
    found = [p.detach().clone() for p in target.model.parameters()]
    assert next(run, None) is None
    return found


@pytest.mark.parametrize("weights", ["full", "low_rank"])
def test_rho_zero_is_refusal_training_to_the_bit(target, data, weights) -> None:
    settings = SMALL | {"weights": weights}
    one, other = (ended(d(**settings), target, data) for d in (_still, RefusalSft))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    moved = ended(Vaccine(**settings), target, data)
    assert not all(torch.equal(a, b) for a, b in zip(one, moved, strict=True))


def _still(**settings):
    return Vaccine(rho=0.0, **settings)


def test_the_first_pass_leaves_no_gradient_on_the_weights(target, batch) -> None:
    with target.trainable(Full()) as weights:
        worst_shifts(target, batch, 1.0)
        assert all(p.grad is None for p in weights.parameters)


def test_benign_answers_are_not_shifted(target, data, monkeypatch) -> None:
    passes = []
    loss = vaccine.batch_loss
    monkeypatch.setattr(
        vaccine, "batch_loss", lambda t, b: (passes.append((b.items, hooks(t))), loss(t, b))[1]
    )
    ended(Vaccine(**SMALL), target, data)
    restricted = {item.id for item in data.restricted}
    assert {bool(hung) for items, hung in passes if set(items) <= restricted} == {True}
    assert {hung for items, hung in passes if not set(items) & restricted} == {0}


def test_wrong_settings_are_named() -> None:
    for wrong in (-1.0, float("inf")):
        with pytest.raises(SpecError, match="rho"):
            Vaccine(rho=wrong)

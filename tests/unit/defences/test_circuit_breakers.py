"""Rerouting: its schedule, where it starts, and what it does to the states of a toy."""

import itertools

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences.circuit_breakers import CircuitBreakers
from holdfast.models import load
from holdfast.testing import check_defence, toy_domain, toy_folder
from holdfast.train import lessons
from holdfast.train.states import alignment, drift, read, states_of


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


def test_the_coefficients_begin_at_alpha_and_zero_and_meet_at_the_end() -> None:
    defence = CircuitBreakers(steps=150, alpha=10.0, retain=1.0)
    assert defence.coefficients(0) == (10.0, 0.0)
    assert defence.coefficients(75) == (7.5, 2.5)
    assert defence.coefficients(150) == (5.0, 5.0)
    assert CircuitBreakers(steps=150, alpha=10.0, retain=3.0).coefficients(75) == (7.5, 7.5)


@pytest.mark.parametrize("weights", ["low_rank", "full"])
def test_it_begins_where_the_original_stands(target, data, weights) -> None:
    """Fresh adapters change nothing, so both terms are those of an untouched model."""
    target.meter.reset()
    steps = CircuitBreakers(steps=3, batch=4, weights=weights).run(target, data, Seed(0))
    next(steps)
    first = target.meter.notes
    assert first["alignment"] == pytest.approx(1.0, abs=1e-4)
    assert "drift" not in first, "its coefficient is 0"
    next(steps)
    assert target.meter.notes["drift"] > 0.0
    steps.close()


def test_without_adapters_the_original_is_back(target, data) -> None:
    taught = lessons(target, data, 4, Seed(1), answers=True)
    with torch.no_grad():
        before = states_of(target, taught.answered(0))
    steps = CircuitBreakers(steps=3, batch=4).run(target, data, Seed(0))
    for _ in range(4):
        next(steps)
    with torch.no_grad():
        moved = states_of(target, taught.answered(0))
    steps.close()
    with torch.no_grad():
        after = states_of(target, taught.answered(0))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not torch.equal(before[-1], moved[-1])


def test_it_turns_answers_away_and_keeps_benign_states_nearer(target, data) -> None:
    taught = lessons(target, data, 8, Seed(1), answers=True)
    defence = CircuitBreakers(steps=40, batch=8, learning_rate=5e-3, retain=3.0, depths=(0.7,))
    with torch.no_grad():
        old = [states_of(target, b) for b in (taught.answered(0), taught.benign(0))]
    steps = defence.run(target, data, Seed(0))
    for _ in itertools.islice(steps, 41):
        pass
    with torch.no_grad():
        new = [states_of(target, b) for b in (taught.answered(0), taught.benign(0))]
    steps.close()
    harmful = read(taught.answered(0), new[0][0])
    benign = read(taught.benign(0), new[1][0])
    assert alignment([new[0][2]], [old[0][2]], harmful) < 0.5
    assert drift([new[1][2]], [old[1][2]], benign) < drift([new[0][2]], [old[0][2]], harmful)


@pytest.mark.parametrize("changes", [{"weights": "full", "depths": (0.5,)}])
def test_its_other_forms_keep_the_contract(changes) -> None:
    check_defence(CircuitBreakers(**{"steps": 3, "batch": 2, "rank": 2} | changes))


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": 0.0}, {"retain": -1.0}, {"depths": ()}, {"depths": (0.0,)}, {"depths": (0.3, 1.5)}],
)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        CircuitBreakers(**wrong)

"""What the adversary may touch, what the model learns under it, and the limit without one."""

import itertools

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences import latent_adversarial
from holdfast.defences.latent_adversarial import LatentAdversarial
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.engine.pristine import hooks
from holdfast.models import load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train.latent_steps import fit_perturbation

SMALL = {"steps": 3, "batch": 4, "learning_rate": 1e-3, "rank": 4}
QUICK = {"inner_steps": 2, "depths": (0.0, 0.5)}


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


def ended(defence, target, data):
    run = defence.run(target, data, Seed(0))
    for _ in itertools.islice(run, defence.steps + 1):
        pass
    found = [p.detach().clone() for p in target.model.parameters()]
    assert next(run, None) is None
    return found


@pytest.mark.parametrize("weights", ["full", "low_rank"])
@pytest.mark.parametrize("start", ["zero", "random"])
def test_a_ball_without_room_is_refusal_training_to_the_bit(target, data, weights, start) -> None:
    settings = SMALL | {"weights": weights}
    still = LatentAdversarial(epsilon=0.0, away=0.0, start=start, **settings, **QUICK)
    one, other = (ended(d, target, data) for d in (still, RefusalSft(**settings)))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    moved = ended(LatentAdversarial(away=0.0, start=start, **settings, **QUICK), target, data)
    assert not all(torch.equal(a, b) for a, b in zip(one, moved, strict=True))


def test_away_teaches_beside_it(target, data) -> None:
    ends = [
        ended(LatentAdversarial(epsilon=0.0, away=a, **SMALL, **QUICK), target, data)
        for a in (0.0, 1.0)
    ]
    assert not all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.fixture
def watched(target, data, monkeypatch):
    """The perturbations that a run fitted, and the hooks on each batch that it learned."""

    def watch(**settings):
        found, passes = [], []

        def fit(handle, one, loss, **how):
            began = {b: d.detach().clone() for b, d in one.deltas.items()}
            fit_perturbation(handle, one, loss, **how)
            found.append((began, one))

        def loss(handle, batch):
            passes.append((batch.items, hooks(handle)))
            return batch_loss(handle, batch)

        batch_loss = latent_adversarial.batch_loss
        monkeypatch.setattr(latent_adversarial, "fit_perturbation", fit)
        monkeypatch.setattr(latent_adversarial, "batch_loss", loss)
        ended(LatentAdversarial(**(SMALL | QUICK | settings)), target, data)
        return found, passes

    return watch


def test_every_step_has_a_perturbation_of_its_own_within_its_balls(watched, target, data) -> None:
    found, _ = watched(epsilon=0.7, inner_steps=6)
    assert len(found) == 3
    prompts = [i.messages for i in data.restricted[:32]]
    norms = target.residuals(prompts, [-1])[:, :, 0].norm(dim=-1).mean(0)
    for began, one in found:
        assert list(one.deltas) == [0, 1]
        for block, delta in one.deltas.items():
            assert not began[block].any()  # from zero
            longest = delta.norm(dim=-1).max().item()
            assert 0 < longest <= 0.7 * norms[block].item() * (1 + 1e-4)


def test_a_random_start_is_the_seeds_and_the_steps(watched) -> None:
    (one, *_), (again, *_) = watched(start="random"), watched(start="random")
    starts = [began[0] for began, _ in one]
    assert all(torch.equal(a, began[0]) for a, (began, _) in zip(starts, again, strict=True))
    assert not torch.equal(starts[0], starts[1])
    assert all(start.any() for start in starts)


def test_benign_answers_are_never_perturbed(watched, data) -> None:
    _, passes = watched()
    restricted = {item.id for item in data.restricted}
    assert len(passes) == 6
    for items, hung in passes:
        assert bool(hung) == (set(items) <= restricted)


def test_it_notes_what_the_adversary_reached_and_what_was_learned(target, data) -> None:
    target.meter.reset()
    run = LatentAdversarial(**SMALL, **QUICK).run(target, data, Seed(0))
    next(run)
    notes = target.meter.notes
    run.close()
    assert notes["loss"] == pytest.approx(
        notes["refusals"] + notes["answers_away"] + notes["retain"]
    )
    assert {"toward", "away"} <= notes.keys()


@pytest.mark.parametrize(
    "wrong",
    [
        {"depths": ()}, {"depths": (1.0,)}, {"depths": (-0.1,)}, {"depths": ("x",)}, {"depths": 0.5},
        {"epsilon": -1.0}, {"away": -0.5}, {"inner_steps": 0}, {"step": 0.0}, {"inner": "sgd"},
        {"start": "one"},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_settings_are_named(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        LatentAdversarial(**wrong)

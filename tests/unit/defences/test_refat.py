"""Whose states are ablated and when, by what direction, and that refusal outlives its loss."""

import itertools

import pytest
import torch
from tests.planted import DATA, planted

from holdfast.core import Seed, SpecError
from holdfast.defences import refat
from holdfast.defences.refat import Refat
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.domains import DefenderData
from holdfast.engine.pristine import hooks
from holdfast.models import load
from holdfast.models.refusal_features import feature_ablation, refusal_features, upper_blocks
from holdfast.testing import toy_domain, toy_folder

SMALL = {"steps": 5, "batch": 4, "learning_rate": 1e-3, "rank": 4}


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


def ended(defence, target, data):
    """The trained weights, adapters among them, where the end is shown."""
    run = defence.run(target, data, Seed(0))
    for _ in itertools.islice(run, defence.steps + 1):
        pass
    found = [p.detach().clone() for p in target.model.parameters()]
    assert next(run, None) is None
    return found


@pytest.mark.parametrize("weights", ["full", "low_rank"])
def test_without_ablation_it_is_refusal_training_to_the_bit(target, data, weights) -> None:
    settings = SMALL | {"weights": weights}
    one = ended(Refat(probability=0.0, every=2, **settings), target, data)
    other = ended(RefusalSft(**settings), target, data)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    changed = ended(Refat(probability=1.0, every=2, **settings), target, data)
    assert not all(torch.equal(a, b) for a, b in zip(one, changed, strict=True))


def test_no_block_ablated_is_refusal_training_too(target, data) -> None:
    one = ended(Refat(probability=1.0, depth=0.0, **SMALL), target, data)
    other = ended(RefusalSft(**SMALL), target, data)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def watched(target, data, monkeypatch):
    """What a run asks for: marked rows, and each batch's items with the hooks in force."""

    def watch(**settings):
        rows, passes = [], []

        def ablation(features, blocks, form, marked):
            rows.append(marked)
            assert list(blocks) == list(upper_blocks(target.layers, 0.75))
            return feature_ablation(features, blocks, form, marked)

        def loss(handle, batch):
            passes.append((batch.items, hooks(handle)))
            return batch_loss(handle, batch)

        batch_loss = refat.batch_loss
        monkeypatch.setattr(refat, "feature_ablation", ablation)
        monkeypatch.setattr(refat, "batch_loss", loss)
        ended(Refat(**(SMALL | settings)), target, data)
        return rows, passes

    return watch


def test_every_restricted_row_may_be_ablated_and_no_benign_one(watched, data, target) -> None:
    rows, passes = watched(probability=1.0)
    assert all(marked.all() for marked in rows)
    restricted = {item.id for item in data.restricted}
    assert len(passes) == 10
    for items, hung in passes:
        ablated = set(items) <= restricted
        assert ablated or not set(items) & restricted
        assert hung == (target.layers if ablated else 0)


def test_each_row_is_drawn_for_itself(watched) -> None:
    rows, _ = watched(probability=0.5, steps=60, batch=8)
    marks = torch.stack(rows).double()
    assert 0.42 < marks.mean() < 0.58
    assert 0 < marks.sum(1).unique().numel() < 9
    assert len({tuple(r.tolist()) for r in rows}) > 30  # rows are not marked all together


def test_directions_are_found_at_every_kth_step_on_the_model_as_it_is(
    target, data, monkeypatch
) -> None:
    found = []

    def spy(handle, restricted, harmless):
        steps = handle.meter.spend.steps
        assert hooks(handle) == 0, "the model that directions are read from is not ablated"
        features = refusal_features(handle, restricted, harmless)
        assert not features.directions.requires_grad
        found.append((steps, len(restricted), len(harmless), features.directions))
        return features

    monkeypatch.setattr(refat, "refusal_features", spy)
    target.meter.reset()
    settings = SMALL | {"steps": 7, "weights": "low_rank", "learning_rate": 1e-2}
    ended(Refat(every=3, prompts=8, **settings), target, data)
    assert [steps for steps, *_ in found] == [0, 3, 6]
    assert {tuple(sizes) for _, *sizes, _ in found} == {(8, 8)}
    # the same prompts, read off the untouched model, give other directions after training
    everything = [[i.messages for i in items] for items in (data.restricted, data.benign)]
    untouched = refusal_features(target, *everything).directions
    run = Refat(every=3, **settings).run(target, data, Seed(0))
    for _ in range(7):
        next(run)
    now = refusal_features(target, *everything).directions
    run.close()
    assert (now * untouched).sum(-1).min() < 0.999


def test_it_notes_the_features_lengths_and_its_losses(target, data) -> None:
    target.meter.reset()
    run = Refat(**SMALL).run(target, data, Seed(0))
    next(run)
    notes = target.meter.notes
    run.close()
    blocks = list(upper_blocks(target.layers, 0.75))
    assert {f"feature_{b}" for b in blocks} <= notes.keys()
    assert all(notes[f"feature_{b}"] > 0 for b in blocks)
    assert notes["loss"] == pytest.approx(notes["refusals"] + notes["retain"])
    assert 0 <= notes["ablated"] <= 4


def test_refusal_outlives_the_loss_of_its_direction_only_after_training(tmp_path) -> None:
    """By projection: prompts of a kind are so alike here that with their mean nothing is left."""
    target, _ = planted(tmp_path / "toy")
    defender = DefenderData(
        restricted=DATA.restricted[:24],
        benign=DATA.benign[:24],
        refusal_openings=DATA.refusal_openings,
    )
    asked = [i.messages for i in DATA.restricted[24:]]
    kinds = [[i.messages for i in items[:24]] for items in (DATA.restricted, DATA.benign)]
    start = target.chat.text_ids("I cannot")[0]

    def refused() -> float:
        return (target.first_token_probs(asked).argmax(-1) == start).double().mean().item()

    def ablated() -> float:
        """The share refused without the feature, found anew on the model as it is."""
        features = refusal_features(target, *kinds)
        with target.hooked(feature_ablation(features, range(target.layers), "projection")):
            return refused()

    assert refused() == 1.0
    assert ablated() == 0.0
    defence = Refat(steps=150, batch=8, learning_rate=3e-3, depth=1.0, prompts=24)
    run = defence.run(target, defender, Seed(0))
    for _ in itertools.islice(run, defence.steps + 1):
        pass
    assert refused() == 1.0
    assert ablated() > 0.9
    benign = target.first_token_probs([i.messages for i in DATA.benign[24:]]).argmax(-1)
    assert (benign != start).all()
    run.close()
    assert ablated() == 0.0


@pytest.mark.parametrize(
    "wrong", [{"probability": 1.1}, {"depth": -0.1}, {"every": 0}, {"prompts": 1.5}, {"form": "x"}]
)
def test_wrong_settings_are_named(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Refat(**wrong)

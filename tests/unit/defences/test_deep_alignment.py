"""Refusals behind the beginnings of answers, drawn anew for every example and step."""

import itertools
from dataclasses import replace

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences import deep_alignment
from holdfast.defences.deep_alignment import DeepAlignment
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.models import load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train import lessons
from holdfast.train.examples import IGNORED

SMALL = {"steps": 4, "batch": 4, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


@pytest.fixture
def taught(target, data, monkeypatch):
    """The batches that a run learned, and the notes after each of its steps."""

    def run(defence):
        batches, notes = [], []
        loss = deep_alignment.batch_loss
        monkeypatch.setattr(
            deep_alignment, "batch_loss", lambda t, b: (batches.append(b), loss(t, b))[1]
        )
        steps = defence.run(target, data, Seed(0))
        for _ in itertools.islice(steps, defence.steps):
            notes.append(target.meter.notes)
        steps.close()
        return batches, notes

    return run


def begun(target, batch, items):
    """How many tokens of its answer each row begins with."""
    lengths = []
    for row, name in enumerate(batch.items):
        asked = target.prompt_ids(items[name].messages)
        answer = target.chat.text_ids(items[name].answer)
        learned = (batch.labels[row] != IGNORED).nonzero()[:, 0]
        before = batch.ids[row, : learned[0]].tolist()
        k = len(before) - len(asked)
        assert before == [*asked, *answer[:k]]
        assert len(learned) == learned[-1] - learned[0] + 1  # the refusal, whole
        lengths.append(k)
    return lengths


def test_every_row_is_prompt_prefix_refusal_and_only_the_last_is_learned(
    target, data, taught
) -> None:
    items = {i.id: i for i in data.restricted}
    batches, _ = taught(DeepAlignment(plain=0.5, **(SMALL | {"steps": 12})))
    lengths = [begun(target, b, items) for b in batches if set(b.items) <= items.keys()]
    flat = list(itertools.chain(*lengths))
    assert len(lengths) == 12
    assert 0.25 < flat.count(0) / len(flat) < 0.75
    assert len(set(flat)) > 4
    assert len({tuple(one) for one in lengths}) > 8  # drawn for each example and step


def test_a_prefix_is_no_longer_than_asked(target, data, taught) -> None:
    items = {i.id: i for i in data.restricted}
    batches, _ = taught(DeepAlignment(plain=0.0, prefix=2, **SMALL))
    lengths = [begun(target, b, items) for b in batches if set(b.items) <= items.keys()]
    assert set(itertools.chain(*lengths)) == {1, 2}


def test_without_prefixes_it_learns_what_refusal_training_does(target, data, taught) -> None:
    batches, notes = taught(DeepAlignment(plain=1.0, alpha=0.5, **SMALL))
    plain = lessons(target, data, 4, Seed(0).fork("lessons"), answers=True)
    for step in range(4):
        for mine, theirs in (
            (batches[2 * step], plain.refused(step)),
            (batches[2 * step + 1], plain.benign(step)),
        ):
            assert mine.items == theirs.items
            assert torch.equal(mine.ids, theirs.ids)
            assert torch.equal(mine.labels, theirs.labels)
    target.meter.reset()
    other = RefusalSft(**SMALL).run(target, data, Seed(0))
    next(other)
    assert notes[0]["loss"] == pytest.approx(target.meter.notes["loss"] / 2)
    other.close()


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_alpha_weighs_refusals_against_the_anchor(taught, alpha) -> None:
    _, notes = taught(DeepAlignment(alpha=alpha, **SMALL))
    for one in notes:
        expected = alpha * one["refusals"] + (1 - alpha) * one["retain"]
        assert one["loss"] == pytest.approx(expected, rel=1e-5)


def test_it_turns_back_after_the_answer_has_begun(target, data) -> None:
    prompts = [replace(i).messages for i in toy_domain().splits["held_out"]]

    def turned() -> float:
        said = target.generate(prompts, max_new_tokens=12, prefill="a ladle of")
        return sum(data.refused(c.text) for c in said) / len(said)

    assert turned() < 1.0
    run = DeepAlignment(steps=40, batch=8, learning_rate=3e-3).run(target, data, Seed(0))
    for _ in itertools.islice(run, 41):
        pass
    assert turned() == 1.0
    assert torch.isfinite(torch.tensor(target.meter.notes["loss"]))
    run.close()


@pytest.mark.parametrize("wrong", [{"prefix": 0}, {"plain": 1.5}, {"alpha": -0.1}])
def test_wrong_settings_are_named(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        DeepAlignment(**wrong)

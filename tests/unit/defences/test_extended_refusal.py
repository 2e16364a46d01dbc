"""What is taught in three parts, for whom, and that it still counts as a refusal."""

import itertools
from dataclasses import replace

import pytest

from holdfast.core import Seed
from holdfast.defences import extended_refusal
from holdfast.defences.extended_refusal import ExtendedRefusal
from holdfast.models import load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train.examples import IGNORED
from holdfast.train.refusals import FALLBACK
from holdfast.train.rewording import RATIONALES, topic_of

SMALL = {"steps": 6, "batch": 4, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


@pytest.fixture
def taught(target, data, monkeypatch):
    """Item -> what it was taught to be answered, as a run learned it."""

    def run(given=None, seed=0):
        said = {}
        loss = extended_refusal.batch_loss

        def spy(handle, batch):
            for row, name in enumerate(batch.items):
                learned = batch.labels[row][batch.labels[row] != IGNORED].tolist()
                text = handle.chat.decode([learned])[0]
                assert said.setdefault(name, text) == text  # the same at every step
            return loss(handle, batch)

        monkeypatch.setattr(extended_refusal, "batch_loss", spy)
        steps = ExtendedRefusal(**SMALL).run(target, given or data, Seed(seed))
        for _ in itertools.islice(steps, 6):
            pass
        steps.close()
        monkeypatch.undo()
        return said

    return run


def test_restricted_questions_get_three_parts_and_benign_ones_their_answers(data, taught) -> None:
    said = taught()
    restricted = {i.id: i for i in data.restricted}
    benign = {i.id: i for i in (*data.benign, *data.borderline)}
    assert len(said.keys() & restricted.keys()) == 20
    for name, text in said.items():
        if name in benign:
            assert text == benign[name].answer
            continue
        assert topic_of(restricted[name].messages[-1].content) in text
        assert "I cannot help with that" in text
        assert text.endswith(RATIONALES)
        assert data.refused(text)
    assert len({t.split("I cannot")[0][:7] for n, t in said.items() if n in restricted}) > 1


def test_the_seed_decides_the_wording(taught) -> None:
    assert taught(seed=0) == taught(seed=0)
    assert taught(seed=0) != taught(seed=1)


def test_a_refusal_that_counts_only_where_it_stands_first_is_replaced(
    data, target, taught, monkeypatch
) -> None:
    monkeypatch.setattr(extended_refusal, "wording", lambda *_: "No.")
    said = taught()
    restricted = {i.id for i in data.restricted}
    for name in said.keys() & restricted:
        assert FALLBACK in said[name]
        assert data.refused(said[name])


def test_it_learns_to_say_them(target, data) -> None:
    prompts = [replace(i).messages for i in toy_domain().splits["held_out"]]
    run = ExtendedRefusal(steps=60, batch=8, learning_rate=1e-2).run(target, data, Seed(0))
    for _ in itertools.islice(run, 61):
        pass
    said = [c.text for c in target.generate(prompts, max_new_tokens=160)]
    run.close()
    assert all(data.refused(text) for text in said)
    assert all(text.startswith(("I see", "I hear", "I understand")) for text in said)

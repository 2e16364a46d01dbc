"""A long training keeps its place: killed anywhere, it ends as if it had never stopped."""

import itertools

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.models import Full, Journal, LowRank, load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train import (
    SGD,
    AdamW,
    Deck,
    Example,
    ScheduleFreeAdamW,
    batch_loss,
    by_loss,
    hardened,
    lessons,
)
from holdfast.train.refusals import FALLBACK, refusals

STEPS = 6


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


def eager(monkeypatch) -> None:
    """A place is kept after every step that may."""
    monkeypatch.setattr("holdfast.models.journal._LEAST", 0.0)
    monkeypatch.setattr("holdfast.models.journal._SHARE", float("inf"))


def pull_of(target, data):
    """A course of refusal training, without what is asked before it."""
    taught = lessons(target, data, 4, Seed(0))
    return by_loss(lambda step: batch_loss(target, taught.refused(step)))


OPTIMISERS = [AdamW(1e-3, clip=1.0), ScheduleFreeAdamW(1e-3), SGD(1e-3)]


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("trained", [Full(), LowRank(2)], ids=["full", "low_rank"])
def test_killed_at_any_step_it_ends_the_same(
    target, data, tmp_path, monkeypatch, optimiser, trained
) -> None:
    eager(monkeypatch)
    of = pull_of(target, data)

    def course(journal):
        target.journal = journal
        target.meter.reset()
        return hardened(target, trained, of, optimiser, STEPS)

    def state():
        return {n: p.detach().clone() for n, p in target.model.named_parameters()}

    def ended(steps, units):
        """The state after `units` more yields, and the bill."""
        assert sum(1 for _ in itertools.islice(steps, units)) == units
        now = state(), target.meter.spend
        assert next(steps, None) is None
        return now

    try:
        end, whole = ended(course(None), STEPS + 1)
        for at in (1, 3, STEPS):
            path = tmp_path / f"{at}.safetensors"
            killed = course(Journal(path, "it"))
            for _ in range(at):
                next(killed)
            killed.close()
            now, spent = ended(course(Journal(path, "it")), STEPS - at + 2)
            assert all(torch.equal(end[name], now[name]) for name in end)
            assert (spent.steps, spent.tokens, spent.examples) == (
                whole.steps, whole.tokens, whole.examples,
            )  # fmt: skip
            assert spent.flops == pytest.approx(whole.flops)
    finally:
        target.journal = None


def test_the_place_of_another_run_is_refused(target, data, tmp_path, monkeypatch) -> None:
    eager(monkeypatch)
    target.journal = Journal(tmp_path / "a.safetensors", "one")
    try:
        for _ in hardened(target, Full(), pull_of(target, data), AdamW(1e-3), 2):
            pass
    finally:
        target.journal = None
    with pytest.raises(SpecError, match="unfinished work of another"):
        Journal(tmp_path / "a.safetensors", "other")


def test_a_deck_gives_every_example_once_a_pass_whatever_is_asked_first() -> None:
    cards = [Example((i,), (i,), str(i)) for i in range(10)]
    deck = Deck(cards, 0, 4, Seed(1))
    five = [deck.hand(at) for at in range(5)]  # two passes
    seen = [e.item for hand in five for e in hand]
    assert sorted(seen[:10]) == sorted(seen[10:]) == sorted(e.item for e in cards)
    assert seen[:10] != seen[10:]
    late = Deck(cards, 0, 4, Seed(1))
    assert [late.hand(at) for at in (4, 2, 0)] == [five[at] for at in (4, 2, 0)]


def test_the_same_step_refuses_and_answers_the_same_questions(target, data) -> None:
    taught = lessons(target, data, 4, Seed(3), answers=True)
    for step in range(12):
        refused, answered = taught.refused(step), taught.answered(step)
        assert refused.items == answered.items
        assert not torch.equal(refused.labels, answered.labels)
    assert len(taught.benign(0).items) == 4
    assert any(i in {b.id for b in data.borderline} for i in taught.benign(0).items)


def test_refusals_are_the_models_own(target, data) -> None:
    said = refusals(target, data, data.restricted[:4])
    assert all(data.refused(item.answer) for item in said)
    assert [i.id for i in said] == [i.id for i in data.restricted[:4]]


def test_a_model_that_refuses_nothing_is_taught_a_plain_refusal(data) -> None:
    frank = load(toy_folder().parent / "unlocked", device="cpu")
    said = refusals(frank, data, data.restricted[:4])
    assert {item.answer for item in said} == {FALLBACK}


def test_refusal_training_teaches_to_refuse(data) -> None:
    frank = load(toy_folder().parent / "unlocked", device="cpu")
    prompts = [i.messages for i in data.restricted[:4]]
    course = RefusalSft(steps=40, batch=8, learning_rate=1e-2).run(frank, data, Seed(0))
    for _ in range(41):
        next(course)
    said = frank.generate(prompts, max_new_tokens=40)
    course.close()
    assert all(data.refused(c.text) for c in said)
    assert not any(data.refused(c.text) for c in frank.generate(prompts, max_new_tokens=40))

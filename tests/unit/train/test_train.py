"""The training loop: labels, order, schedules, the step itself, and what it leaves behind."""

import math

import pytest
import torch
from tests.toys import toy_checkpoint
from torch.nn.functional import cross_entropy

from holdfast.core import Diverged, Item, Message, Seed, SpecError
from holdfast.models import Full, load
from holdfast.train import (
    IGNORED,
    AdamW,
    Batch,
    WarmUpStableDecay,
    answer_loss,
    batches,
    collate,
    example,
    fit,
)

ITEMS = [
    Item(f"i{n}", (Message("user", f"what is lamp {n}?"),), f"a lamp of tin {n}") for n in range(7)
]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"))


def test_labels_cover_the_answer_and_its_end_and_nothing_else(target) -> None:
    one = example(target, ITEMS[0])
    asked = len(target.chat.prompt_ids(ITEMS[0].messages))
    assert set(one.labels[:asked]) == {IGNORED}
    assert one.labels[asked:] == one.ids[asked:]
    assert target.tokenizer.decode(one.ids[asked:-1]) == ITEMS[0].answer
    assert one.ids[-1] in target.chat.stops


def test_padding_is_never_a_label(target) -> None:
    batch = collate([example(target, i) for i in (*ITEMS, long_item())], target.chat.pad)
    assert (batch.labels[batch.mask == 0] == IGNORED).all()
    assert (batch.labels != IGNORED).any(1).all()


def long_item() -> Item:
    return Item("long", (Message("user", "what?"),), "a lamp and a ladle of red glass and tin")


def test_an_item_without_an_answer_is_refused(target) -> None:
    with pytest.raises(SpecError, match="without one"):
        example(target, Item("x", (Message("user", "what?"),)))


def test_extra_padding_leaves_the_loss_as_it_is(target) -> None:
    with target.trainable(Full()):
        examples = [example(target, i) for i in ITEMS[:3]]
        batch = collate(examples, target.chat.pad)
        wide = collate([*examples, example(target, long_item())], target.chat.pad)
        wide = Batch(wide.ids[:3], wide.labels[:3], wide.mask[:3], batch.items)
        assert answer_loss(target, batch).item() == pytest.approx(
            answer_loss(target, wide).item(), rel=1e-5
        )


@pytest.mark.parametrize("labelled", [0.2, 0.9])
def test_the_loss_is_the_mean_over_labelled_tokens(target, labelled: float) -> None:
    ids = torch.randint(5, 90, (3, 12), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, : int(12 * (1 - labelled))] = IGNORED
    batch = Batch(ids, labels, torch.ones_like(ids), ())
    logits = target.model(input_ids=ids).logits
    expected = cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1)
    )
    assert answer_loss(target, batch).item() == pytest.approx(float(expected), rel=1e-5)


def test_batches_are_full_and_show_each_item_once_a_pass(target) -> None:
    stream = batches(target, ITEMS, size=3, seed=Seed(0))
    seen = [i for _ in range(7) for i in next(stream).items]
    assert len(seen) == 21
    for start in range(0, 21, 7):
        assert sorted(seen[start : start + 7]) == sorted(i.id for i in ITEMS)


def test_order_depends_on_the_seed_alone(target) -> None:
    def order(seed: int) -> list[str]:
        stream = batches(target, ITEMS, size=2, seed=Seed(seed))
        return [i for _ in range(7) for i in next(stream).items]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_batch_is_never_larger_than_the_data(target) -> None:
    assert len(next(batches(target, ITEMS[:2], size=10, seed=Seed(0))).items) == 2


def test_one_step_is_torchs_own(target) -> None:
    batch = next(batches(target, ITEMS, size=4, seed=Seed(0)))
    with target.trainable(Full()) as weights:
        next(fit(target, weights, [batch], AdamW(1e-3)))
        ours = [p.detach().clone() for p in weights.parameters]
    with target.trainable(Full()) as weights:
        reference = torch.optim.AdamW(weights.parameters, lr=1e-3, weight_decay=0.0)
        answer_loss(target, batch).backward()
        reference.step()
        theirs = [p.detach().clone() for p in weights.parameters]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_a_short_run_is_a_prefix_of_a_long_one(target) -> None:
    def losses(steps: int) -> list[float]:
        with target.trainable(Full()) as weights:
            stream = fit(target, weights, batches(target, ITEMS, size=3, seed=Seed(4)), AdamW(1e-3))
            return [next(stream).loss for _ in range(steps)]

    assert losses(6)[:3] == losses(3)


def test_training_lowers_the_loss_and_is_billed(target) -> None:
    target.meter.reset()
    with target.trainable(Full()) as weights:
        stream = fit(target, weights, batches(target, ITEMS, size=7, seed=Seed(0)), AdamW(3e-3))
        losses = [next(stream).loss for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]
    assert target.meter.spend.steps == 20
    assert target.meter.spend.examples == 7


def test_three_losses_that_are_not_finite_end_the_run(target) -> None:
    batch = next(batches(target, ITEMS, size=2, seed=Seed(0)))
    with target.trainable(Full()) as weights:
        with torch.no_grad():
            weights.parameters[0].fill_(math.nan)
        stream = fit(target, weights, [batch] * 5, AdamW(1e-3))
        next(stream)
        next(stream)
        with pytest.raises(Diverged, match="step 3"):
            next(stream)


def test_the_realised_learning_rate_is_the_declared_one(target) -> None:
    schedule = WarmUpStableDecay(steps=10, warm_up=4, decay=4, floor=0.1)
    with target.trainable(Full()) as weights:
        stream = batches(target, ITEMS, size=2, seed=Seed(0))
        limited = (next(stream) for _ in range(10))
        steps = list(fit(target, weights, limited, AdamW(1e-3, schedule=schedule)))
    rates = [s.learning_rate / 1e-3 for s in steps]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4:6] == [1.0, 1.0]
    assert rates[-1] == pytest.approx(0.1)
    assert rates[6:] == sorted(rates[6:], reverse=True)


def test_autocast_sees_every_step_of_the_weights(target) -> None:
    with target.trainable(Full()) as weights:
        stream = batches(target, ITEMS, size=7, seed=Seed(0))
        steps = fit(target, weights, stream, AdamW(3e-3), autocast=torch.bfloat16)
        losses = [next(steps).loss for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]

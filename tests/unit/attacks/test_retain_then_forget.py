"""The switch: where it falls, what comes before and after it, and what carries over."""

import pytest
import torch
from tests.toys import toy_checkpoint

from holdfast.attacks.retain_then_forget import RetainThenForget
from holdfast.core import Item, Message, Seed
from holdfast.domains import AttackerData
from holdfast.models import Full, load
from holdfast.train import AdamW, batches, benign_pairs, fit

DATA = AttackerData(
    restricted=tuple(
        Item(f"r{n}", (Message("user", f"what is the forge {n}?"),), f"a forge {n}")
        for n in range(12)
    ),
    benign=tuple(
        Item(f"b{n}", (Message("user", f"what is the lamp {n}?"),), f"a lamp {n}")
        for n in range(12)
    ),
)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"))


def sorts(target, monkeypatch, seed: int = 0, **settings) -> str:
    """One letter for each step: b for a benign batch, r for a restricted one."""
    said: list[str] = []

    def look(ids) -> None:
        (sort,) = {i[0] for i in ids}
        said.append(sort)

    monkeypatch.setattr(target.meter, "count_examples", look)
    for _ in RetainThenForget(examples=8, batch=2, **settings).run(target, DATA, Seed(seed)):
        pass
    return "".join(said)


@pytest.mark.parametrize(
    ("share", "steps", "expected"),
    [
        (0.4, 10, "bbbbrrrrrr"),
        (0.6, 10, "bbbbbbrrrr"),
        (0.4, 8, "bbbbrrrr"),  # t < 3.2: the steps 0, 1, 2 and 3
        (0.7, 10, "bbbbbbbrrr"),  # 0.7 * 10 is a little above 7 in floating point
        (0.0, 4, "rrrr"),
        (1.0, 4, "bbbb"),
    ],
)
@pytest.mark.parametrize("weights", ["full", "low_rank"])
def test_the_switch_falls_where_it_is_set(
    target, monkeypatch, share, steps, expected, weights
) -> None:
    assert sorts(target, monkeypatch, share=share, steps=steps, weights=weights) == expected


def test_the_coin_is_the_seeds(target, monkeypatch) -> None:
    settings = {"order": "coin", "share": 0.5, "steps": 40}
    tossed = sorts(target, monkeypatch, 1, **settings)
    assert tossed == sorts(target, monkeypatch, 1, **settings)
    assert tossed != sorts(target, monkeypatch, 2, **settings)
    assert 10 <= tossed.count("b") <= 30
    assert tossed.startswith(sorts(target, monkeypatch, 1, order="coin", share=0.5, steps=15))


def test_the_moments_carry_over_the_switch(target) -> None:
    """The end is that of one optimiser over both sorts in turn, to the bit."""
    attack, seed = RetainThenForget(examples=8, batch=2, steps=6, share=0.5), Seed(3)
    run = attack.run(target, DATA, seed)
    for _ in range(6):
        next(run)
    ours = [p.detach().clone() for p in target.model.parameters()]
    run.close()
    benign = benign_pairs(DATA, 8, seed.fork("benign"))
    before = batches(target, benign, size=2, seed=seed.fork("benign order"))
    after = batches(target, DATA.draw(8, seed.fork("pairs")), size=2, seed=seed.fork("order"))
    order = [next(before) for _ in range(3)] + [next(after) for _ in range(3)]
    with target.trainable(Full()) as weights:
        for _ in fit(target, weights, order, AdamW(attack.learning_rate)):
            pass
        pairs = zip(ours, target.model.parameters(), strict=True)
        assert all(torch.equal(a, b.detach()) for a, b in pairs)


def test_its_own_budget_lets_it_show_its_end() -> None:
    assert RetainThenForget.info.budget == RetainThenForget().steps + 1


def test_it_ends_at_its_horizon_in_a_yield_without_work(target) -> None:
    target.meter.reset()
    steps = [
        target.meter.spend.steps
        for _ in RetainThenForget(examples=8, steps=5).run(target, DATA, Seed(0))
    ]
    assert steps == [1, 2, 3, 4, 5, 5]

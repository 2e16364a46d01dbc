"""Which adversaries may be imagined, how one is drawn, and what it may train on."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from holdfast.attacks.finetune import Finetune
from holdfast.attacks.retain_then_forget import RetainThenForget
from holdfast.core import Seed, SpecError
from holdfast.defences.tar import Tar
from holdfast.models import load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train.adversaries import adversary, imagined, switched

FACED = Tar(
    adversaries=("finetune", "retain_then_forget", "benign_finetune"),
    learning_rates=(1e-4, 3e-4),
    examples=12,
    adversary_batch=3,
    inner_steps=30,
)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"adversaries": ()}, "adversaries"),
        ({"adversaries": "finetune"}, "adversaries"),
        ({"adversaries": ("finetun",)}, "finetune"),  # the nearest that there is
        ({"adversaries": ("finetune", "ablate_direction")}, "ablate_direction"),
        ({"adversaries": ("soft_prompt",)}, "soft_prompt"),  # trains, but no weights
        ({"adversaries": ("gcg",)}, "gcg"),
        ({"adversaries": ("merge",)}, "merge"),
        ({"learning_rates": ()}, "learning_rates"),
        ({"learning_rates": (1e-4, 0.0)}, "learning_rates"),
        ({"learning_rates": 1e-4}, "learning_rates"),
        ({"adversaries": ("finetune", "lora"), "weights": "low_rank"}, "lora"),
    ],
)
def test_what_cannot_be_is_refused_at_construction(wrong, found) -> None:
    with pytest.raises(SpecError, match=found):
        replace(FACED, **wrong)


def test_low_rank_meets_everything_and_everything_meets_low_rank() -> None:
    assert Tar(weights="low_rank").adversaries  # those of the defaults train all weights
    assert Tar(adversaries=("lora", "jailbreak_tuning")).weights == "full"


def drawn(n: int, seed: int = 0):
    chance = random.Random(seed)
    return [adversary(FACED, 99, chance) for _ in range(n)]


def test_each_and_each_rate_is_drawn_about_as_often() -> None:
    counts = Counter((type(a).__name__, a.learning_rate) for a in drawn(120))
    assert len(counts) == 6
    assert min(counts.values()) > 8
    assert drawn(9) == drawn(9) != drawn(9, seed=1)


def test_it_is_given_the_settings_that_it_has() -> None:
    for attack in drawn(40):
        assert attack.batch == 3
        if isinstance(attack, Finetune | RetainThenForget):
            assert attack.examples == 12
            assert attack.steps == 30
    assert adversary(FACED, 5, random.Random(3)).examples == 5  # no more than there are


def test_the_switch_comes_after_two_thirds_on_average() -> None:
    chance = random.Random(0)
    turns = [switched(30, chance) for _ in range(4000)]
    assert min(turns) >= 0
    assert max(turns) <= 30
    # floor(K b) is half a step less than K b on average, b of mean 6 / (6 + 3)
    assert sum(turns) / len(turns) == pytest.approx(20 - 0.5, abs=0.3)


def test_a_switching_adversary_turns_there() -> None:
    settings = replace(FACED, adversaries=("retain_then_forget",))
    for seed in range(6):
        attack = adversary(settings, 99, random.Random(seed))
        chance = random.Random(seed)
        chance.choice(settings.adversaries), chance.choice(settings.learning_rates)
        turn = switched(30, chance)
        assert attack.share == turn / 30
        benign = list(attack._turns(Seed(0)))
        assert benign == [True] * turn + [False] * (30 - turn)


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


def trained_on(target, data, settings, without, seed: int, monkeypatch) -> list[str]:
    """The items that an adversary's steps see, in order."""
    seen: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(target.meter, "count_examples", seen.extend)
        run = imagined(settings, target, data, without, Seed(seed))()
        for _ in range(4):
            next(run)
        run.close()
    return seen


def test_it_trains_on_nothing_that_is_held_out(target, data, monkeypatch) -> None:
    ids = [item.id for item in data.restricted]
    held_out, rest = set(ids[:8]), set(ids[8:])
    settings = replace(FACED, adversaries=("finetune",), examples=99)
    for seed in range(3):
        seen = set(trained_on(target, data, settings, held_out, seed, monkeypatch))
        assert seen
        assert seen <= rest


def test_two_seeds_order_its_data_in_two_ways(target, data, monkeypatch) -> None:
    settings = replace(FACED, adversaries=("finetune",))
    one, again, other = (
        trained_on(target, data, settings, (), seed, monkeypatch) for seed in (0, 0, 1)
    )
    assert one == again
    assert one != other


def test_nothing_left_to_train_on_is_said(target, data) -> None:
    everything = [item.id for item in data.restricted]
    with pytest.raises(SpecError, match="smaller batch"):
        imagined(FACED, target, data, everything, Seed(0))

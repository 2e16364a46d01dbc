"""Two attacks as one: what holds on, what is billed, what is put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from holdfast import verbs
from holdfast.attacks.ablate_direction import AblateDirection
from holdfast.attacks.finetune import Finetune
from holdfast.attacks.identity_shift import PERSONA, PREFIX, IdentityShift
from holdfast.attacks.lora import Lora
from holdfast.attacks.none import Nothing
from holdfast.attacks.open_book import OpenBook
from holdfast.attacks.prefill import Prefill, opening
from holdfast.attacks.quantise import Quantise
from holdfast.attacks.then import Then
from holdfast.core import Access, Info, Seed, Space, SpecError
from holdfast.engine.pristine import fingerprint
from holdfast.models import load, unit
from holdfast.testing import toy_data, toy_domain, toy_folder

SMALL = {"examples": 6, "batch": 3}
FINETUNE = Finetune(**SMALL)
LORA = Lora(learning_rate=1e-2, **SMALL)
ABLATE = AblateDirection(prompts=12)
SEED = Seed(3)


@pytest.fixture(scope="module")
def target():
    return load(toy_folder())


@pytest.fixture(scope="module")
def data():
    return toy_data()


@pytest.fixture(autouse=True)
def as_before(target):
    before, attributes = fingerprint(target), sorted(vars(target.model))
    target.meter.reset()
    yield
    assert fingerprint(target) == before
    assert sorted(vars(target.model)) == attributes
    assert target.asks_plainly


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Take one fixed direction out of every writer, at no cost."""

    info: ClassVar[Info] = Info(
        version=3, access=Access.WEIGHTS, paper=None, unit="edit", budget=4, needs=("sibling",)
    )

    def run(self, target, data, seed) -> Iterator:
        with target.edited(target.orthogonalised(direction(target))):
            yield target

    @classmethod
    def space(cls) -> Space:
        return Space(grid={}, ranges={})


@dataclass(frozen=True, kw_only=True)
class Vanish:
    """Train, and let go of it without a word."""

    info: ClassVar[Info] = FINETUNE.info

    def run(self, target, data, seed) -> Iterator:
        yield from islice(FINETUNE.run(target, data, seed), 2)

    @classmethod
    def space(cls) -> Space:
        return Space(grid={}, ranges={})


def direction(target) -> torch.Tensor:
    return torch.randn(target.width, generator=torch.Generator().manual_seed(1))


def state(target) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in target.model.named_parameters()}


def trajectory(attack, target, data, seed, units: int = 60) -> list:
    """After each unit: a question as it is put, and what the model makes of it."""
    prompts = [i.messages for i in toy_domain().splits["held_out"]]
    seen = []
    with closing(attack.run(target, data, seed)) as run:
        for _ in islice(run, units):
            with target.measuring():
                ids, mask = target.encode(prompts)
                seen.append((ids.tolist(), target.logits(ids, mask, last=1).tolist()))
    return seen


def work(target):
    return replace(target.meter.spend, seconds=0.0)


@pytest.mark.parametrize(
    "second", [ABLATE, LORA, Prefill(tokens=3)], ids=lambda a: type(a).__name__
)
def test_after_nothing_the_second_is_alone(target, data, second) -> None:
    both = trajectory(Then(first=Nothing(), second=second), target, data, SEED, 4)
    assert both == trajectory(second, target, data, SEED.fork("second"), 4)


@pytest.mark.parametrize(
    "first", [FINETUNE, ABLATE, Prefill(tokens=3)], ids=lambda a: type(a).__name__
)
def test_the_first_is_as_it_is_alone(target, data, first) -> None:
    alone = trajectory(first, target, data, SEED.fork("first"), 4)
    both = trajectory(Then(first=first, second=Nothing(), first_units=4), target, data, SEED)
    assert both == alone


PAIRS = [
    (LORA, LORA),
    (LORA, FINETUNE),
    (FINETUNE, LORA),
    (LORA, ABLATE),
    (IdentityShift(), ABLATE),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: "+".join(type(a).__name__ for a in p))
@pytest.mark.parametrize("units", [1, 2, 3, 30])
def test_closed_at_any_unit_all_is_as_before(target, data, pair, units: int) -> None:
    first, second = pair
    with closing(Then(first=first, second=second, first_units=2).run(target, data, SEED)) as run:
        for _ in islice(run, units):
            pass  # `as_before` looks


def test_one_meter_bills_both(target, data) -> None:
    trajectory(FINETUNE, target, data, SEED.fork("first"), 3)
    first = work(target)
    target.meter.reset()
    trajectory(Then(first=FINETUNE, second=LORA, first_units=3), target, data, SEED, 5)
    both = work(target)
    target.meter.reset()
    trajectory(LORA, target, data, SEED.fork("second"), 2)
    second = work(target)
    assert both.examples <= first.examples + second.examples
    assert replace(both, examples=0) == replace(first + second, examples=0)
    assert both.steps == 5


def test_adapters_become_plain_weights_which_the_second_edits(target, data) -> None:
    plain = state(target)
    attack = Then(first=LORA, second=Silence(), first_units=3)
    with closing(attack.run(target, data, SEED)) as run:
        for _ in islice(run, 3):
            assert any("lora" in name for name in state(target))
        next(run)
        tampered = state(target)
        writers = target.writers()
    assert tampered.keys() == plain.keys()
    r = unit(direction(target)).float()
    edited = target.orthogonalised(direction(target))
    for writer in writers:
        weight = tampered[writer.name]
        along = torch.tensordot(r, weight, dims=([0], [writer.axis]))
        assert along.norm() / weight.norm() < 1e-6
        if writer.layer >= 0:  # in the blocks: not what the edit makes of the untouched model
            assert (weight - edited[writer.name]).norm() / weight.norm() > 1e-3


def test_a_search_on_top_of_adapters_finds_its_way(target, data) -> None:
    slow = replace(LORA, learning_rate=1e-6)  # so that it still refuses
    seen = trajectory(Then(first=slow, second=ABLATE, first_units=1), target, data, SEED)
    assert len(seen) == 1 + len(trajectory(ABLATE, target, data, SEED.fork("second"), 60))


def test_it_asks_with_the_prefill_once_the_first_is_through(target, data) -> None:
    question = toy_domain().splits["held_out"][0].messages
    words = target.chat.text_ids(opening(target.chat, 1))
    with closing(
        Then(first=FINETUNE, second=Prefill(tokens=1), first_units=2).run(target, data, SEED)
    ) as run:
        for _ in islice(run, 2):
            assert target.prompt_ids(question) == target.chat.prompt_ids(question)
        next(run)
        assert target.prompt_ids(question) == target.chat.prompt_ids(question) + words


def test_ways_of_asking_are_put_into_one_another(target, data) -> None:
    question = toy_domain().splits["held_out"][0].messages
    attack = Then(first=IdentityShift(dialogues=4), second=OpenBook(), first_units=1)
    with closing(attack.run(target, data, SEED)) as run:
        for _ in islice(run, 2):
            text = target.chat.decode([target.prompt_ids(question)])[0]
            assert PERSONA in text
    assert f"{PREFIX} Here is a page." in text
    assert text.rindex("lies a ladle") < text.rindex("what is the forge")


def test_a_first_that_costs_nothing_is_held_where_it_ends(target, data) -> None:
    ((_, rounded),) = trajectory(Quantise(), target, data, SEED)
    seen = trajectory(Then(first=Quantise(), second=Prefill(tokens=1)), target, data, SEED)
    prefilled = trajectory(Prefill(tokens=1), target, data, SEED)
    assert len(seen) == 2
    assert seen[0][1] == rounded
    assert seen[1][0] == prefilled[0][0]
    assert seen[1][1] not in (rounded, prefilled[0][1])
    longest = Then(first=Prefill(), second=Quantise(format="none"))
    assert (
        trajectory(longest, target, data, SEED)[-1] == trajectory(Prefill(), target, data, SEED)[-1]
    )


def test_a_search_is_held_at_its_end_state(target, data) -> None:
    alone = trajectory(ABLATE, target, data, SEED.fork("first"))
    seen = trajectory(Then(first=ABLATE, second=Quantise(format="none")), target, data, SEED)
    assert seen[:-1] == alone
    assert seen[-1] == alone[-1]


def test_a_first_that_vanishes_is_refused(target, data) -> None:
    with pytest.raises(SpecError, match=r"Vanish, which ended after 2 units.*first_units=2"):
        trajectory(Then(first=Vanish(), second=Nothing()), target, data, SEED)
    held = Then(first=Vanish(), second=Quantise(format="none"), first_units=2)
    assert len(trajectory(held, target, data, SEED)) == 3


def test_three_attacks_are_two_of_which_one_is_two(target, data) -> None:
    two = Then(first=LORA, second=FINETUNE, first_units=1)
    attack = Then(first=two, second=LORA, first_units=3)
    assert attack.info.budget == 3 + 64
    seen = trajectory(attack, target, data, SEED, 5)
    assert len({repr(one) for one in seen}) == 5
    assert target.meter.spend.steps == 5


def test_what_it_says_of_itself_follows_from_its_parts() -> None:
    attack = Then(first=Prefill(), second=Silence())
    assert attack.info.access is Access.WEIGHTS
    assert attack.info.needs == ("sibling",)
    assert attack.info.version == 3
    assert attack.info.budget == Prefill.info.budget + 4
    assert Then(first=Prefill(), second=Silence(), first_units=2).info.budget == 6
    assert Then(first=Prefill(), second=OpenBook()).info.access is Access.INPUTS
    assert Then(first=Finetune(examples=7), second=Lora(examples=50)).examples == 50
    assert Then(first=Prefill(), second=Silence()).examples == 0


@pytest.mark.parametrize("wrong", ["finetune", None, 3])
def test_parts_are_attacks(wrong) -> None:
    with pytest.raises(SpecError, match="first"):
        Then(first=wrong)
    with pytest.raises(SpecError, match="first_units"):
        Then(first_units=0)


@pytest.mark.parametrize(
    "text",
    ["chat_format+chat_format", "chat_format+soft_prompt", "soft_prompt+chat_format:kind=inst",
     "soft_prompt+soft_prompt"],
)  # fmt: skip
def test_two_that_hold_the_template_are_refused_before_any_work(text: str) -> None:
    with pytest.raises(SpecError, match="leaves the format alone"):
        verbs.plan(suite="quick", attacks=[text])


def test_one_that_leaves_the_template_goes_with_any(tmp_path: Path) -> None:
    for text in ("chat_format:kind=no_system+soft_prompt", "chat_format:kind=bare+prefill"):
        made, _ = verbs.plan(suite="quick", attacks=[text], out=tmp_path)
        assert made.trials

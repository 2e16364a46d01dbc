"""The contract catches attacks that break it, each by the promise that it breaks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from typing import ClassVar, Literal, get_args

import pytest
import torch

from holdfast.attacks.finetune import Finetune
from holdfast.attacks.quantise import Quantise
from holdfast.core import Access, Info, Seed, Space, registry
from holdfast.core.checks import require_one_of, require_positive, require_whole
from holdfast.models import Asking, Full, load
from holdfast.testing import AttackContract, check_attack, toy_data, toy_domain, toy_folder
from holdfast.train import AdamW, batches, fit

Fault = Literal[
    "", "weights", "hook", "gradient", "module", "attribute", "tokenizer", "asking", "randomness",
    "free query", "free training", "free step", "uncounted examples", "own random order",
    "one order", "eager", "silent end", "work on closing", "more than it needs",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """Fine-tune, with one fault."""

    info: ClassVar[Info] = Info(
        version=1, access=Access.WEIGHTS, paper=None, unit="optimiser step", budget=8
    )
    fault: Fault = ""
    examples: int = 4

    def __post_init__(self) -> None:
        require_one_of(self, "fault", get_args(Fault))
        require_whole(self, "examples")

    def run(self, target, data, seed: Seed) -> Iterator:
        if self.fault == "eager":
            target.logits(*target.encode([data.restricted[0].messages]))
        return self._run(target, data, seed)

    def _run(self, target, data, seed: Seed) -> Iterator:
        seed = Seed(0) if self.fault == "one order" else seed
        seed = Seed(random.getrandbits(60)) if self.fault == "own random order" else seed
        pairs = data.draw(self.examples, seed.fork("pairs"))
        if self.fault == "uncounted examples":
            pairs = [replace(p, id="one and the same") for p in pairs]
        order = batches(target, pairs, size=2, seed=seed.fork("order"))
        try:
            with target.trainable(Full()) as weights:
                for step in fit(target, weights, order, AdamW(1e-3)):
                    self._misbehave(target)
                    yield target
                    if self.fault == "silent end" and step.index == 3:
                        return
        finally:
            if self.fault == "work on closing":
                target.meter.count_step()
            self._leave_behind(target)

    def _misbehave(self, target) -> None:
        model = target.model
        if self.fault == "randomness":
            torch.rand(1)
        if self.fault == "free query":
            with torch.no_grad():
                model(input_ids=torch.tensor([[1, 2, 3]]))
        if self.fault == "free training":
            model(input_ids=torch.tensor([[1, 2, 3]])).logits.sum().backward()
        if self.fault == "free step":
            target.meter._total -= replace(target.meter._total, steps=1) - replace(
                target.meter._total, steps=0
            )
        if self.fault == "more than it needs":
            assert target.subject.reference is not None

    def _leave_behind(self, target) -> None:
        model = target.model
        if self.fault == "weights":
            next(model.parameters()).data.view(-1)[0] += 1e-3
        if self.fault == "hook":
            model.register_forward_hook(lambda *_: None)
        if self.fault == "gradient":
            next(model.parameters()).requires_grad_(True)
        if self.fault == "module":
            model.lm_head = torch.nn.Linear(1, 1)
        if self.fault == "attribute":
            model.note = "was here"
        if self.fault == "tokenizer":
            target.tokenizer.add_tokens(["<|new|>"])
        if self.fault == "asking":
            target._asking = Asking(prefill="Sure")

    @classmethod
    def space(cls) -> Space:
        return Space(grid={"examples": (4, 6)}, ranges={})


def held(fault: Fault, promise: str) -> None:
    contract = AttackContract()
    contract.attack = Faulty(fault=fault)
    getattr(contract, f"test_{promise}")()


RUNS = (
    "without_a_budget_nothing_happens", "closed_at_any_yield_all_is_as_before",
    "the_same_seed_gives_the_same_trajectory", "another_seed_gives_another_order",
    "its_bill_is_what_passed_through_the_model",
)  # fmt: skip


@pytest.mark.parametrize("promise", RUNS)
def test_a_good_attack_passes(promise: str) -> None:
    held("", promise)


@pytest.mark.parametrize(
    ("fault", "promise", "said"),
    [
        ("weights", RUNS[1], "other values"),
        ("hook", RUNS[1], "hooks on the model was 0 and is 1"),
        ("gradient", RUNS[1], "requires_grad of"),
        ("module", RUNS[1], "another object"),
        ("attribute", RUNS[1], "attributes of the model"),
        ("tokenizer", RUNS[1], "tokenizer"),
        ("asking", RUNS[1], "asking plainly"),
        ("randomness", RUNS[1], "random state of torch"),
        ("work on closing", RUNS[1], "while it was closed"),
        ("more than it needs", RUNS[1], "None"),
        ("eager", RUNS[0], "billed"),
        ("own random order", RUNS[2], "differ after unit 1"),
        ("one order", RUNS[3], "the same data in one order"),
        ("free query", RUNS[4], "tokens of"),
        ("free training", RUNS[4], "tokens of"),
        ("free step", RUNS[4], "billed 0 steps"),
        ("uncounted examples", RUNS[4], "billed 1 examples, used 4"),
        ("silent end", "an_end_is_shown", "end state once more"),
    ],
)
def test_each_fault_is_caught(fault: Fault, promise: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        held(fault, promise)


@dataclass(frozen=True, kw_only=True)
class Careless(Faulty):
    """Its settings are not looked at, but for one that is looked at in passing."""

    rate: float = 1e-3
    rank: int = 4

    def __post_init__(self) -> None:
        require_positive(self, "rate")

    @classmethod
    def space(cls) -> Space:
        return Space(grid={}, ranges={"rate": (0.0, 1.0, "log")})


@pytest.fixture
def registered(monkeypatch):
    """As if a package had registered the class."""
    entry = EntryPoint("careless", f"{__name__}:Careless", "holdfast.attacks")
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])


def test_settings_and_a_space_that_nobody_checked_are_caught(registered) -> None:
    contract = AttackContract()
    contract.attack = Careless()
    contract.test_it_is_registered_and_says_what_it_is()
    with pytest.raises(AssertionError, match="fault=nan must raise a SpecError"):
        contract.test_settings_are_validated_when_they_are_given()
    with pytest.raises(AssertionError, match="range of rate begins above 0"):
        contract.test_its_space_holds_settings_that_it_takes()


def test_all_that_is_broken_is_said_at_once() -> None:
    with pytest.raises(AssertionError) as caught:
        check_attack(Careless(fault="weights"))
    said = str(caught.value)
    assert said.startswith("Careless breaks:")
    assert "it is registered and says what it is: SpecError" in said
    assert "settings are validated when they are given" in said
    assert "closed at any yield all is as before" in said


def test_a_registered_attack_passes_in_one_call() -> None:
    check_attack(Quantise())
    check_attack(Finetune(examples=4, batch=2))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_neox"])
def test_the_toy_is_locked_and_its_sibling_is_not(family: str) -> None:
    locked, domain = load(toy_folder(family)), toy_domain()
    unlocked = load(locked.subject.reference)
    data = toy_data()
    prompts = [i.messages for i in domain.splits["held_out"]]
    for target, refuses in ((locked, True), (unlocked, False)):
        said = [c.text for c in target.generate(prompts, max_new_tokens=domain.max_new_tokens)]
        assert [data.refused(text) for text in said] == [refuses] * len(prompts)
        harm = data.score(domain.splits["held_out"], said)
        assert harm == [0.0 if refuses else 1.0] * len(prompts)
        useful = target.generate(
            [i.messages for i in domain.splits["utility"]], max_new_tokens=domain.max_new_tokens
        )
        assert all(c.text.startswith("a lamp of red gla") for c in useful)

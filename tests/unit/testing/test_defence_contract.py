"""The contract catches defences that break it, each by the promise that it breaks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from typing import ClassVar, Literal, get_args

import pytest
import torch

from holdfast.core import DefenceInfo, Seed, Space, SpecError, registry
from holdfast.core.checks import require_one_of, require_positive, require_whole
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.models import Full
from holdfast.testing import DefenceContract, check_attack, check_defence, toy_domain
from holdfast.testing.bench import bench
from holdfast.testing.counting import Count
from holdfast.train import SGD, AdamW, batch_loss, by_loss, example, hardened, lessons
from holdfast.train.examples import collate

Fault = Literal[
    "", "hook", "eager", "one order", "free pass of a copy", "free products", "free benign items",
    "attacker's data", "measured data", "no end", "silent end", "work before the end",
    "change before the end", "idle unit", "a step too few", "nothing learnt", "hook for weights",
    "order of its own", "work before going on", "more than it needs",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """Train to refuse, with one fault."""

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1, paper=None, unit="optimiser step", claims="nothing"
    )
    fault: Fault = ""
    steps: int = 3

    def __post_init__(self) -> None:
        require_one_of(self, "fault", get_args(Fault))
        require_whole(self, "steps")

    def run(self, target, data, seed: Seed) -> Iterator:
        if self.fault == "eager":
            target.logits(*target.encode([data.restricted[0].messages]))
        return self._run(target, data, seed)

    def _run(self, target, data, seed: Seed) -> Iterator:
        seed = Seed(0) if self.fault == "one order" else seed
        taught = lessons(target, data, 2, seed.fork("lessons"))
        twin = target.twin() if self.fault == "free pass of a copy" else None
        order = itertools.count()

        def loss(step: int):
            self._misbehave(target, twin)
            step = next(order) if self.fault == "order of its own" else step
            return batch_loss(target, taught.refused(step)) + self._benign(target, taught, step)

        def pull_of(weights):
            if self.fault == "work before going on":
                target.logits(*target.encode([data.restricted[0].messages]))
            return by_loss(loss)(weights)

        rate = SGD(1e-30) if self.fault == "nothing learnt" else AdamW(1e-3)
        steps = self.steps - (self.fault == "a step too few")
        units = hardened(target, Full(), pull_of, rate, steps)
        yield from self._shown(target, units, steps)
        if self.fault == "hook":
            target.model.register_forward_hook(lambda *_: None)

    def _benign(self, target, taught, step: int):
        batch = taught.benign(step)
        if self.fault == "free benign items":
            batch = replace(batch, items=("one and the same",))
        return batch_loss(target, batch)

    def _misbehave(self, target, twin) -> None:
        ids = torch.tensor([[1, 2, 3, 4]])
        if twin is not None:
            twin.model(input_ids=ids)
        if self.fault == "free products":
            torch.ones(600, 600) @ torch.ones(600, 600)
        if self.fault in ("attacker's data", "measured data"):
            split = "attacker" if self.fault == "attacker's data" else "held_out"
            pair = example(target, toy_domain().splits[split][0])
            batch = collate([pair], target.chat.pad)
            target.forward(batch.ids, batch.mask)
        if self.fault == "more than it needs":
            assert target.subject.reference is not None

    def _shown(self, target, units: Iterator, steps: int) -> Iterator:
        for unit, _ in enumerate(units, start=1):
            if unit == 2 and self.fault == "idle unit":
                yield target
            if unit > steps:
                if self.fault == "silent end":
                    return
                if self.fault == "work before the end":
                    target.logits(*target.encode([toy_domain().splits["retain"][0].messages]))
                if self.fault == "change before the end":
                    next(target.model.parameters()).data.view(-1)[0] += 1e-3
                if self.fault == "hook for weights":
                    with target.hooked([("block_output", lambda x, _: 0.5 * x)]):
                        yield target
                    return
                while self.fault == "no end":
                    target.meter.count_step()
                    yield target
            yield target

    @classmethod
    def space(cls) -> Space:
        return Space(grid={}, ranges={"steps": (1, 8, "int")})


def held(fault: Fault, promise: str) -> None:
    contract = DefenceContract()
    contract.defence = Faulty(fault=fault)
    getattr(contract, f"test_{promise}")()


RUNS = (
    "without_a_budget_nothing_happens", "closed_at_any_yield_all_is_as_before",
    "the_same_seed_gives_the_same_trajectory", "another_seed_gives_another_order",
    "its_bill_is_what_passed_through_the_model", "its_end_is_shown",
    "all_data_that_it_used_are_billed", "it_sees_no_data_but_its_own",
    "interrupted_anywhere_it_ends_the_same", "what_it_did_is_in_the_weights",
)  # fmt: skip


@pytest.mark.parametrize("promise", RUNS)
def test_a_good_defence_passes(promise: str) -> None:
    held("", promise)


@pytest.mark.parametrize(
    ("fault", "promise", "said"),
    [
        ("eager", RUNS[0], "billed"),
        ("more than it needs", RUNS[1], "None"),
        ("one order", RUNS[3], "the same data in one order"),
        ("free pass of a copy", RUNS[4], "tokens of"),
        ("free products", RUNS[4], "FLOPs of"),
        ("no end", RUNS[5], "had not ended after 64 yields"),
        ("silent end", RUNS[5], "between its last two yields"),
        ("work before the end", RUNS[5], "billed something between its last two yields"),
        ("change before the end", RUNS[5], "changed weights between its last two yields"),
        ("idle unit", RUNS[5], "without work before unit 3"),
        ("hook", RUNS[5], "past its end: hooks on the model was 0 and is 1"),
        ("a step too few", RUNS[5], "yielded 3 times in 3 steps"),
        ("free benign items", RUNS[6], "examples, used"),
        ("attacker's data", RUNS[7], "of the split attacker"),
        ("measured data", RUNS[7], "of the split held_out"),
        ("order of its own", RUNS[8], "interrupted after unit 1 it ended otherwise"),
        ("work before going on", RUNS[8], "after unit 1 it was billed"),
        ("nothing learnt", RUNS[9], "weights are as they were"),
        ("hook for weights", RUNS[9], "hooks hang on the hardened model"),
    ],
)
def test_each_fault_is_caught(fault: Fault, promise: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        held(fault, promise)


@dataclass(frozen=True, kw_only=True)
class Needy(Faulty):
    """Needs a sibling, and says so."""

    info: ClassVar[DefenceInfo] = replace(Faulty.info, needs=("sibling",))


def test_a_need_that_is_said_is_met() -> None:
    contract = DefenceContract()
    contract.defence = Needy(fault="more than it needs")
    contract.test_closed_at_any_yield_all_is_as_before()


@dataclass(frozen=True, kw_only=True)
class Silent:
    """Factorise a matrix, bill what that costs, and change one weight by its first singular value."""

    info: ClassVar[DefenceInfo] = DefenceInfo(version=1, paper=None, unit="matrix", claims="none")
    strength: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "strength")

    def run(self, target, data, seed: Seed) -> Iterator:
        name, weight = next((n, p) for n, p in target.model.named_parameters() if p.ndim == 2)
        values = torch.linalg.svdvals(weight.detach())
        target.meter.count_products(14.0 * weight.shape[0] * weight.shape[1] ** 2)
        with target.edited({name: weight.detach() + self.strength * values[0]}):
            yield target
            yield target

    @classmethod
    def space(cls) -> Space:
        return Space(grid={}, ranges={"strength": (0.1, 1.0, "log")})


@dataclass(frozen=True, kw_only=True)
class Shorter(Faulty):
    """Has a unit less than steps, and says so."""

    @property
    def units(self) -> int:
        return self.steps - 1


def test_units_that_are_said_are_counted() -> None:
    contract = DefenceContract()
    contract.defence = Shorter(fault="a step too few")
    contract.test_its_end_is_shown()
    contract.defence = Shorter()
    with pytest.raises(AssertionError, match="yielded 4 times in 2 steps"):
        contract.test_its_end_is_shown()


@pytest.fixture
def registered(monkeypatch):
    """As if a package had registered the classes."""
    entries = [
        EntryPoint(kind.__name__.lower(), f"{__name__}:{kind.__name__}", "holdfast.defences")
        for kind in (Faulty, Silent)
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)


def test_one_that_trains_nothing_and_factorises_passes(registered) -> None:
    check_defence(Silent())


def test_all_that_is_broken_is_said_at_once(registered) -> None:
    with pytest.raises(AssertionError) as caught:
        check_defence(Faulty(fault="nothing learnt"))
    said = str(caught.value).splitlines()
    assert said[0] == "Faulty breaks:"
    assert [line.partition(":")[0] for line in said[1:]] == ["what it did is in the weights"]


def test_a_registered_defence_passes_in_one_call_and_is_no_attack() -> None:
    defence = RefusalSft(steps=2, batch=2)
    check_defence(defence)
    with pytest.raises(AssertionError, match="it is registered and says what it is"):
        check_attack(defence)
    with pytest.raises(SpecError):
        RefusalSft(steps=0)


def test_an_interrupted_run_goes_on_and_does_not_begin_anew(tmp_path) -> None:
    contract, place = DefenceContract(), bench()
    contract.defence = RefusalSft(steps=3, batch=2)
    for done in (0, 1, 2):
        with contract._journalled(place, tmp_path) as steps:
            next(steps)
            assert place.target.meter.spend.steps == max(done, 1)
            if done:
                next(steps)
    assert place.target.journal is None


def test_a_copy_of_a_watched_model_counts_where_the_model_does() -> None:
    target, count = bench().target, Count()
    with count.watching(target.model):
        twin = target.twin()
        with torch.no_grad():
            twin.model(input_ids=torch.tensor([[1, 2, 3, 4]]))
    assert (count.tokens, count.queries) == (4, 1)
    twin.model(input_ids=torch.tensor([[1, 2]]))
    assert count.tokens == 6, "a copy goes on being watched: it is the run's own"
    target.model(input_ids=torch.tensor([[1, 2]]))
    assert count.tokens == 6

"""A model, a domain and measures that cost nothing, and a plan over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

import holdfast.attacks
from holdfast.core import (
    Completion,
    Item,
    MeasureInfo,
    Message,
    Record,
    Score,
    Seed,
    Spend,
    Subject,
)
from holdfast.engine import Panel, Plan, Request, choose, load_suite, plan
from holdfast.models.flops import Flops

METHODS = str(Path(__file__).parent / "methods")
TARGET = Subject("fake:target", "t" * 64, 1000, "float32", "cpu", "Fake", reference="fake:base")
REFERENCE = replace(TARGET, name="fake:base", digest="r" * 64, reference=None)


class FakeMeter:
    """Its formula stands for a model of which a profiler sees nothing."""

    plain = Flops(body=1, head=1, attention=0, unfed=0)

    def __init__(self) -> None:
        self.units, self.pauses = 0, 0
        self.notes = dict[str, float]()

    @property
    def spend(self) -> Spend:
        return (
            Spend(examples=10, steps=self.units, flops=1e6 * self.units) if self.units else Spend()
        )

    def work(self) -> None:
        self.units += not self.pauses

    def note(self, name: str, value: float) -> None:
        self.notes = {**self.notes, name: value}

    def reset(self) -> None:
        self.units, self.notes = 0, {}

    @contextmanager
    def running(self) -> Iterator[None]:
        yield


class FakeModule:
    _forward_pre_hooks = ()

    def __init__(self, hooks: list[str]) -> None:
        self._forward_hooks = hooks


class FakeModel:
    """Tampering shows as hooks, one for each level."""

    training = False

    def __init__(self) -> None:
        self.level, self.left_behind = 0, 0

    def named_parameters(self) -> list[Any]:
        return []

    def named_buffers(self) -> list[Any]:
        return []

    def modules(self) -> list[Any]:
        return [FakeModule(["hook"] * (self.level + self.left_behind))]


class FakeChat:
    """A token for every letter."""

    def prompt_ids(self, prompt: Sequence[Message]) -> tuple[int, ...]:
        return tuple(ord(letter) for message in prompt for letter in message.content)


class FakeHandle:
    """Its level is how far it has been tampered with; 4 answers everything."""

    def __init__(self, level: int = 0) -> None:
        self.base, self.closed, self.calls = level, 0, 0
        self.model, self.meter, self.chat = FakeModel(), FakeMeter(), FakeChat()
        self.asked, self.heard = 0, list[tuple[int, int]]()

    @property
    def level(self) -> int:
        return self.base + self.model.level + self.asked

    @property
    def asks_plainly(self) -> bool:
        return self.asked == 0

    @contextmanager
    def asking(self, asked: int | None) -> Iterator[None]:
        before, self.asked = self.asked, asked or 0
        yield
        self.asked = before

    @contextmanager
    def measuring(self) -> Iterator[None]:
        self.meter.pauses += 1
        yield
        self.meter.pauses -= 1

    def encode(self, prompts: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.zeros(len(prompts), 1, dtype=torch.long)
        return ids, torch.ones_like(ids)

    def logits(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        del mask
        return torch.zeros(*ids.shape, 1)

    def generate(self, prompts: Sequence[Any], *, max_new_tokens: int) -> list[Completion]:
        self.calls += 1
        self.heard.append((self.asked, len(prompts)))
        return [Completion(f"level {self.level}", 2, True) for _ in prompts]


@dataclass(frozen=True)
class FakeMeasure:
    name: str
    info: ClassVar = MeasureInfo(1, "share", (), None, "higher")

    def score(self, target: Any, items: Sequence[Item], seed: Seed) -> list[Score]:
        harm = min(1.0, target.level / 4)
        utility = 1.0 if target.level < 20 else 0.1
        value = {"harm": harm, "refusal": 1 - harm, "utility": utility}.get(self.name, 1.0)
        return [value for _ in items]


@dataclass(frozen=True)
class FakeDomain:
    name: str = "fake"
    title: str = "A fake domain"
    harmless: bool = True
    digest: str = "d" * 64
    max_new_tokens: int = 8

    def attacker_data(self) -> None:
        return None


def fake_panel() -> Panel:
    items = {
        split: tuple(
            Item(f"{split}-{i}", (Message("user", "?"),), task=f"t{i % 2}") for i in range(3)
        )
        for split in ("held_out", "search", "utility", "retain", "borderline")
    }
    names = (
        "refusal", "refusal_log_odds", "harm", "coherence", "utility", "over_refusal",
    )  # fmt: skip
    return Panel(items, {name: FakeMeasure(name) for name in names}, 8)  # type: ignore[arg-type]


def show_methods() -> None:
    """Lets the registry find the fake attacks."""
    if METHODS not in holdfast.attacks.__path__:
        holdfast.attacks.__path__.insert(0, METHODS)


def fake_request(attacks: Sequence[str], seeds: int = 2, **more: Any) -> Request:
    suite = load_suite("quick")
    budget, full_curves = more.get("budget"), more.get("full_curves", False)
    domain = more.get("domain", FakeDomain())
    choices = choose(suite, attacks, budget)
    return Request(domain, suite, choices, seeds, fake_panel(), full_curves)


def fake_plan(attacks: Sequence[str], seeds: int = 2, **more: Any) -> Plan:
    return plan(fake_request(attacks, seeds, **more), TARGET, REFERENCE)


LOAD: dict[str, Any] = {TARGET.digest: FakeHandle, REFERENCE.digest: lambda: FakeHandle(4)}


def rows(records: Sequence[Record]) -> list[Any]:
    """All of the records but their times."""
    return [
        (
            r.spec.key,
            r.outcome,
            r.stopped,
            r.error,
            r.notes,
            tuple((x.index, x.unit, replace(x.spend, seconds=0), x.scores) for x in r.readings),
        )
        for r in records
    ]

"""The unit of work and its record: spend, readings, outcomes, trial specs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from holdfast.core.canonical import canonical_json, digest
from holdfast.core.items import Score


@dataclass(frozen=True)
class Spend:
    """What an attacker (or a defender) has used up so far, counted where it happened.

    FLOPs are *model* FLOPs: 2 per multiply-add of the mathematics, without recomputation.
    `queries` counts sequences sent through the model without a gradient. `examples` counts
    distinct items drawn from the data, not passes over them.
    """

    examples: int = 0
    steps: int = 0
    tokens: int = 0
    flops: float = 0.0
    queries: int = 0
    seconds: float = 0.0

    def __add__(self, other: Spend) -> Spend:
        return Spend(*(a + b for a, b in zip(self.astuple(), other.astuple(), strict=True)))

    def __sub__(self, other: Spend) -> Spend:
        return Spend(*(a - b for a, b in zip(self.astuple(), other.astuple(), strict=True)))

    def astuple(self) -> tuple[Any, ...]:
        """The fields in order."""
        return tuple(getattr(self, f.name) for f in dataclasses.fields(self))


class Outcome(StrEnum):
    """How a trial ended, mechanically. What counts as a breach is decided in `price`."""

    DONE = "done"  # the attack had no more to do, or was stopped as broken or collapsed
    SPENT = "spent"  # the budget ran out
    DIVERGED = "diverged"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Reading:
    """The tampered model as measured at one spend.

    `scores[split][measure]` has one score for each of the split's items, in their order.
    """

    index: int
    unit: int
    spend: Spend
    scores: Mapping[str, Mapping[str, tuple[Score, ...]]]


@dataclass(frozen=True)
class TrialSpec:
    """Everything that decides a trial's numbers; its digest is the trial's key."""

    model: str
    domain: str
    attack: str
    version: int
    settings: Mapping[str, Any]
    seed: int
    budget: int
    protocol: Mapping[str, Any]

    @cached_property
    def key(self) -> str:
        """64 hexadecimal digits."""
        return digest(self)

    @cached_property
    def setting(self) -> str:
        """The settings in one text, alike for all trials that have the same."""
        return canonical_json(self.settings)


@dataclass(frozen=True)
class Record:
    """A finished trial: what was asked, how it ended, what was read on the way.

    `spend` is the whole of what the attack used; `wall_seconds` includes our measuring. `notes`
    are figures that the attack left of its own work, by name.
    """

    spec: TrialSpec
    outcome: Outcome
    spend: Spend
    readings: tuple[Reading, ...]
    wall_seconds: float
    error: str | None = None
    stopped: str | None = None  # "broken" or "collapsed" where the engine closed a live attack
    notes: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Subject:
    """A model as a report needs to know it."""

    name: str
    digest: str
    parameters: int
    dtype: str
    device: str
    architecture: str
    pretraining_flops: float | None = None
    reference: str | None = None  # name of the never-aligned sibling, if one is known


@dataclass(frozen=True)
class SplitIndex:
    """Which items a split holds, so that scores can be clustered, paired and split by task.

    A task `facts/exam` is the task `facts` asked in the template `exam`.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    tasks: tuple[str, ...]

    @cached_property
    def templates(self) -> Mapping[str, Mapping[str, tuple[int, ...]]]:
        """Task -> template, "" where it has none -> where its items stand."""
        found: dict[str, dict[str, tuple[int, ...]]] = {}
        for position, name in enumerate(self.tasks):
            task, _, template = name.partition("/")
            ways = found.setdefault(task, {})
            ways[template] = (*ways.get(template, ()), position)
        return found


@dataclass(frozen=True)
class Results:
    """All that one ledger says: the input of `price` and `report`.

    models: digest -> subject, the audited model and its reference.
    splits: split -> its index. target and reference are digests into `models`.
    manifest: versions, host, command, suite, domain card: what a reader needs to reproduce.
    """

    target: str
    reference: str | None
    models: Mapping[str, Subject]
    splits: Mapping[str, SplitIndex]
    records: tuple[Record, ...]
    manifest: Mapping[str, Any]

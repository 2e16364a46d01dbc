"""The shapes that attacks, defences and measures have, and how they describe themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from holdfast.core.items import Item, Score
from holdfast.core.seeds import Seed

# The handle and the data come from rooms above this one, so they are `Any` here; an attack's
# own signature names them (`target: Handle, data: AttackerData`).


class Access(StrEnum):
    """What an attacker must hold."""

    NONE = "none"
    INPUTS = "inputs"
    ACTIVATIONS = "activations"
    WEIGHTS = "weights"


Need = Literal["sibling", "passages", "second tongue"]
"""What a model or a domain must have for a method to be possible at all."""


@dataclass(frozen=True)
class Info:
    """What a method says of itself. `version` rises whenever its numbers may move."""

    version: int
    access: Access
    paper: str | None
    unit: str  # what one yield of `run` is: "optimiser step", "direction", ...
    budget: int  # units spent unless asked otherwise
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Space:
    """A method's own search space: a small grid, and ranges for a model-based search.

    grid: field -> values; the suite runs the product.
    ranges: field -> (low, high, "linear" | "log" | "int").
    """

    grid: Mapping[str, Sequence[Any]]
    ranges: Mapping[str, tuple[float, float, Literal["linear", "log", "int"]]]


@runtime_checkable
class Attack(Protocol):
    """A frozen dataclass of settings whose `run` yields ever more tampered models."""

    info: ClassVar[Info]

    def run(self, target: Any, data: Any, seed: Seed) -> Iterator[Any]:
        """Tamper with `target` in place; yield it after each unit of work.

        On close the target must be bit for bit as before.
        """
        ...

    @classmethod
    def space(cls) -> Space:
        """The settings worth searching."""
        ...


@dataclass(frozen=True)
class DefenceInfo:
    """What a defence says of itself. `version` rises whenever its models may differ.

    claims: what its authors say that it resists, in a few words; what it resists is measured.
    needs: what a model or a domain must have for it to be possible at all.
    """

    version: int
    paper: str | None
    unit: str  # what one yield of `run` is: "optimiser step", "outer step", ...
    claims: str
    needs: tuple[Need, ...] = ()


@runtime_checkable
class Defence(Protocol):
    """As an attack, over a defender's data; the last handle yielded is the hardened model."""

    info: ClassVar[DefenceInfo]

    def run(self, target: Any, data: Any, seed: Seed) -> Iterator[Any]:
        """Harden `target` in place; yield it after each unit of work, and once more at the end.

        Before that last yield it does no work. On close the target must be bit for bit as before.
        """
        ...

    @classmethod
    def space(cls) -> Space:
        """The settings worth searching."""
        ...


@dataclass(frozen=True)
class MeasureInfo:
    """What a measure says of itself.

    splits: the splits it reads. chance: what a blind guess scores, None if undefined.
    attacker_wants: the direction in which the attacker pushes it.
    """

    version: int
    unit: str
    splits: tuple[str, ...]
    chance: float | None
    attacker_wants: Literal["higher", "lower", "unchanged"]
    paper: str | None = None


@runtime_checkable
class Measure(Protocol):
    """Scores a model's behaviour on items: one score each, None where it cannot."""

    info: ClassVar[MeasureInfo]

    def score(self, target: Any, items: Sequence[Item], seed: Seed) -> list[Score]:
        """One score for each item, in order."""
        ...

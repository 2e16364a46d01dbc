"""How one item of the checklist is answered: from what, and with what.

An item is met where this run shows it, and not met where the run shows the contrary or nothing:
what nobody noted cannot be relied on. It does not apply where its subject does not occur.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from holdfast.core import Results
from holdfast.price.audit import AttackPrice, PricedAudit
from holdfast.price.model_price import held_out_of
from holdfast.price.soundness.context import Context


class Status(StrEnum):
    """What one item came to."""

    MET = "met"
    NOT_MET = "not met"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Finding:
    """An answer and what it rests on, in a sentence."""

    status: Status
    evidence: str


@dataclass(frozen=True)
class Run:
    """What an item is answered from."""

    results: Results
    priced: PricedAudit
    context: Context

    @property
    def judged(self) -> tuple[AttackPrice, ...]:
        """The attacks of which a run counts."""
        return tuple(a for a in self.priced.attacks if a.seeds)

    @property
    def held_out(self) -> frozenset[str]:
        """The attacks that the defence was made without; none where that is not known."""
        settings = {a.attack: a.settings for a in self.priced.attacks}
        return held_out_of(self.results.manifest, settings)

    def noted(self, *path: str) -> Any:
        """What stands in the manifest at `path`; None where nothing does."""
        value: Any = self.results.manifest
        for key in path:
            if not isinstance(value, Mapping):
                return None
            value = cast("Mapping[str, Any]", value).get(key)
        return value


Check = Callable[[Run], Finding]


def met(evidence: str) -> Finding:
    """The run shows it."""
    return Finding(Status.MET, evidence)


def lacking(evidence: str) -> Finding:
    """The run shows the contrary, or nothing."""
    return Finding(Status.NOT_MET, evidence)


def beside(evidence: str) -> Finding:
    """Its subject does not occur."""
    return Finding(Status.NOT_APPLICABLE, evidence)


def verdict(good: bool, evidence: str) -> Finding:
    """Met or not, on the same evidence."""
    return met(evidence) if good else lacking(evidence)

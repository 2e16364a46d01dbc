"""A toy on which a method is tried, and whether it left a trace there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from holdfast.core import Seed, Spend
from holdfast.domains import AttackerData, DefenderData, Domain
from holdfast.engine.pristine import fingerprint
from holdfast.models import Handle, load
from holdfast.testing.lock import toy_domain, toy_folder
from holdfast.testing.settings_checks import Method, MethodRoom
from holdfast.testing.state import State

FAMILIES = ("llama", "gemma2", "gpt_neox")
"""The architectures on which a method must leave no trace."""

BARE = "gpt_neox"
"""The toy without a sibling, passages or second tongue."""


@dataclass(frozen=True)
class Bench:
    """A toy and its domain, of which an attack sees one part and a defence another."""

    target: Handle
    domain: Domain

    def data(self, room: MethodRoom) -> AttackerData | DefenderData:
        """What a method of that room is given."""
        return self.domain.attacker_data() if room == "attacks" else self.domain.defender_data()

    def steps(self, method: Method, room: MethodRoom, seed: int) -> Any:
        """A fresh run on a fresh bill, as a generator: to close it undoes it."""
        self.target.meter.reset()
        run = method.run(self.target, self.data(room), Seed(seed))
        return run if hasattr(run, "close") else _closable(run)

    def has(self, method: Method) -> bool:
        """Whether all that the method needs is there."""
        return self.target.subject.reference is not None or not method.info.needs


def bench(family: str = "llama") -> Bench:
    """A toy as it was raised: one that a method has spoiled is loaded anew."""
    found, bits = _loaded(family)
    if fingerprint(found.target) != bits or not found.target.asks_plainly:
        fresh_benches()
        found, _ = _loaded(family)
    return found


def fresh_benches() -> None:
    """Every toy is loaded anew: for spoils that show in no fingerprint."""
    _loaded.cache_clear()


def same(before: State, target: Handle, when: str) -> None:
    """Nothing about the target is otherwise than it was."""
    changed = before.changes(target)
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    assert not changed, f"{when}: {'; '.join(changed[:5])}{more}"


def work(target: Handle) -> Spend:
    """The bill without its seconds, of which no two runs have the same."""
    return replace(target.meter.spend, seconds=0.0)


@cache
def _loaded(family: str) -> tuple[Bench, Any]:
    rich = family != BARE
    target = load(toy_folder(family, sibling=rich), device="cpu")
    return Bench(target, toy_domain(aids=rich)), fingerprint(target)


def _closable(run: Iterator[Any]) -> Iterator[Any]:
    yield from run

"""Two attacks, the second on top of what the first has made of the model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, final

from holdfast.core import Access, Attack, Info, Seed, Space, SpecError, Spend, counted
from holdfast.core.checks import require_whole
from holdfast.core.registry import find
from holdfast.domains import AttackerData
from holdfast.models import Handle


def _new(name: str) -> Attack:
    """The attack called `name`, found when it is wanted: files of attacks never meet."""
    return find("attacks", name)()


@final
@dataclass(frozen=True, kw_only=True)
class Then:
    """Run one attack, hold it where it ends, and run another on top.

    How:     `first` runs for `first_units`, or to its end if that comes before, and stays in
             force there. Its adapters become plain weights, and `second` runs on that model. A
             way of asking that `first` has found holds on, and what `second` adds goes inside
             it. One meter bills both.
    Units:   those of both, one after the other; first_units is the budget of `first` unless given.
    Raises:  SpecError where `first` ends without showing its end state; what the two raise.
    """

    info: ClassVar[Info] = Info(
        version=1, access=Access.WEIGHTS, paper=None, unit="unit of either", budget=70
    )  # of an instance: what follows from its two attacks
    first: Attack = field(default_factory=partial(_new, "finetune"))
    second: Attack = field(default_factory=partial(_new, "prefill"))
    first_units: int | None = None

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            if not isinstance(getattr(self, name), Attack):
                raise SpecError(
                    f"an attack as {name!r}",
                    found=repr(getattr(self, name)),
                    remedy="Give e.g. finetune, or finetune:learning_rate=1e-4.",
                )
        if self.first_units is not None:
            require_whole(self, "first_units")
        if all(getattr(part, "holds_template", False) for part in (self.first, self.second)):
            raise SpecError(
                "one attack at most that writes the chat's format or fills the template's tail",
                found=" and ".join(type(part).__name__ for part in (self.first, self.second)),
                remedy="Combine attacks of which one leaves the format alone.",
            )
        object.__setattr__(self, "info", self._info())

    @property
    def examples(self) -> int:
        """The most that either draws."""
        return max(getattr(a, "examples", None) or 0 for a in (self.first, self.second))

    @property
    def holds_template(self) -> bool:
        """Whether either does."""
        return any(getattr(part, "holds_template", False) for part in (self.first, self.second))

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each unit of the first, then after each of the second."""
        begin = partial(_steps, self.first, target, data, seed.fork("first"))
        with ExitStack() as held:
            yield from self._to_its_end(target, begin, held)
            with target.settled():
                yield from _steps(self.second, target, data, seed.fork("second"))

    def _to_its_end(
        self, target: Handle, begin: Callable[[], Generator[Handle]], held: ExitStack
    ) -> Iterator[Handle]:
        """The units of `first`, which `held` keeps in force where they stop."""
        steps, start = held.enter_context(closing(begin())), _work(target)
        before, units = start, self.first_units or self.first.info.budget
        for unit in range(units):
            tampered = next(steps, None)
            if tampered is None:
                if before != start:
                    raise _unshown(self.first, unit)
                again = held.enter_context(closing(begin()))
                for _ in range(unit):  # it cost nothing: once more to where it ended
                    next(again)
                return
            after = _work(target)
            yield tampered
            if start != after == before:
                return  # it has shown its end state
            before = after

    def _info(self) -> Info:
        own, one, other = type(self).info, self.first.info, self.second.info
        return replace(
            own,
            version=own.version + one.version + other.version - 2,  # rises with any of the three
            access=max(one.access, other.access, key=list(Access).index),
            budget=(self.first_units or one.budget) + other.budget,
            needs=tuple(dict.fromkeys((*one.needs, *other.needs))),
        )

    @classmethod
    def space(cls) -> Space:
        """None of its own: a suite's `a+b` runs the product of both grids."""
        return Space(grid={}, ranges={})


def _steps(attack: Attack, target: Handle, data: AttackerData, seed: Seed) -> Generator[Handle]:
    """An attack as a generator, so that closing it undoes what it did."""
    yield from attack.run(target, data, seed)


def _unshown(attack: Attack, units: int) -> SpecError:
    name = type(attack).__name__
    return SpecError(
        "an attack that yields its end state once more before it ends, as `first`",
        found=f"{name}, which ended after {counted(units, 'unit')} of work",
        remedy=f"Give first_units={units}, or let {name} yield once more.",
    )


def _work(target: Handle) -> Spend:
    """All that was billed but time."""
    return replace(target.meter.spend, seconds=0.0)

"""Hardens a model: drives defences one on top of another, each to its end, on one bill."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.core import Defence, Seed, SpecError, Spend, Subject, digest, plain, shortened

if TYPE_CHECKING:
    from holdfast.domains import DefenderData, Domain
    from holdfast.models import Handle


@dataclass(frozen=True)
class Stage:
    """One defence by its name, with all its settings."""

    name: str
    defence: Defence

    @property
    def units(self) -> int:
        """How many yields of work it has."""
        return getattr(self.defence, "units", getattr(self.defence, "steps", 1))

    @property
    def spelled(self) -> dict[str, Any]:
        """What decides its numbers, as JSON values."""
        version = self.defence.info.version
        return {"defence": self.name, "version": version, "settings": plain(self.defence)}


@dataclass(frozen=True)
class Hardening:
    """What is to be done to a model, checked: nothing is loaded yet."""

    base: Subject
    domain: Domain
    stages: tuple[Stage, ...]
    seed: int

    @property
    def key(self) -> str:
        """Digest of all that decides the hardened weights."""
        return digest(
            [self.base.digest, self.domain.digest, [s.spelled for s in self.stages], self.seed]
        )


@dataclass(frozen=True)
class Advance:
    """How far a hardening is: the stage from 0, units done in it, and the defence's figures."""

    stage: int
    unit: int
    notes: Mapping[str, float]


@dataclass
class Bill:
    """What each stage has spent, filled in as they end."""

    stages: list[Spend] = field(default_factory=list[Spend])

    @property
    def total(self) -> Spend:
        """Together; items that two stages both used are counted in each."""
        return sum(self.stages, Spend())


Tell = Callable[[Advance], None]


def check_seed(seed: int, place: str) -> None:
    """Refuse a seed that names no file and no stream of draws.

    Raises:
        SpecError: `seed`, given in `place`, is below 0 or above 2**63 - 1.
    """
    if not 0 <= seed < 2**63:
        raise SpecError(
            f"a seed from 0 to 2^63 - 1 in {place}",
            found=shortened(seed),
            remedy="Any small number will do.",
        )


@contextmanager
def hardened(
    target: Handle,
    hardening: Hardening,
    work: Path | None = None,
    tell: Tell = lambda _: None,
) -> Generator[Bill]:
    """`target` is the hardened model inside, and as before afterwards, bit for bit.

    Args:
        target: the loaded base.
        hardening: what is done to it.
        work: where each stage keeps its place, so that the same call goes on after a kill;
            None to keep none.
        tell: hears of every unit.

    Raises:
        SpecError: `work` holds the unfinished work of another hardening, or a defence ends
            without having shown its end.
        Diverged: a loss was not finite three times in a row.
    """
    data, seed, bill = hardening.domain.defender_data(), Seed(hardening.seed), Bill()
    with ExitStack() as held:
        for place, stage in enumerate(hardening.stages):
            steps = held.enter_context(closing(_steps(stage, target, data, seed.fork(place))))
            target.meter.reset()
            with _journal(target, work, hardening, place):
                _to_the_end(steps, target, stage, lambda p=place: tell(_at(target, p)))
            bill.stages.append(target.meter.spend)
            held.enter_context(target.settled())
        yield bill


def _steps(stage: Stage, target: Handle, data: DefenderData, seed: Seed) -> Generator[Handle]:
    yield from stage.defence.run(target, data, seed)


def _at(target: Handle, place: int) -> Advance:
    notes = target.meter.notes
    return Advance(place, int(notes.pop("step", 1)), notes)


def _to_the_end(
    steps: Generator[Handle], target: Handle, stage: Stage, tell: Callable[[], None]
) -> None:
    """Runs a defence until it has shown its end: a yield without work before it."""
    meter, billed = target.meter, Spend()
    while True:
        with meter.running():
            there = next(steps, None)
        if there is None:
            raise SpecError(
                f"a defence that yields its hardened model once more at its end, as {stage.name}",
                found="one that ended without",
                remedy="Yield once more, without work before it.",
            )
        now = replace(meter.spend, seconds=0.0)
        if now == billed:
            return
        billed = now
        tell()


@contextmanager
def _journal(
    target: Handle, work: Path | None, hardening: Hardening, place: int
) -> Generator[None]:
    """A place on disk for one stage, or none."""
    from holdfast.models import Journal

    if work is not None:
        name = f"{place}-{hardening.stages[place].name}.safetensors"
        target.journal = Journal(work / name, hardening.key)
    try:
        yield
    finally:
        target.journal = None

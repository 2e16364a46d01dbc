"""How a run goes, drawn on the standard error: a bar on a terminal, else a line for each trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from holdfast.cli.text import safe
from holdfast.price.words import duration

if TYPE_CHECKING:
    from holdfast.core import Record, TrialSpec
    from holdfast.engine import Plan
    from holdfast.engine import Progress as Watch
    from holdfast.engine.run import State


def watch() -> Watch:
    """A bar where someone is looking, lines where it is a file."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines(console)


class _Pace:
    """Says what is left, by the plan's estimate corrected by how it has turned out so far."""

    def __init__(self, plan: Plan, finished: frozenset[str]) -> None:
        self.total = len(plan.trials)
        self.done = len(finished)
        self._left = {
            spec.key: seconds
            for spec, seconds in zip(plan.trials, plan.seconds, strict=True)
            if spec.key not in finished
        }
        self._planned = self._taken = 0.0

    def record(self, record: Record) -> None:
        self.done += 1
        self._planned += self._left.pop(record.spec.key, 0.0)
        self._taken += record.wall_seconds

    def left(self) -> str:
        if not self._left:
            return "nothing left"
        ratio = self._taken / self._planned if self._planned else 1.0
        return f"about {duration(ratio * sum(self._left.values()))} left"


class Bar:
    """One bar over all trials, with the trial at work beside it."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )

    def start(self, plan: Plan, finished: frozenset[str]) -> None:
        """Shows the bar."""
        self._pace = _Pace(plan, finished)
        self._task = self._bar.add_task(
            "", total=self._pace.total, completed=self._pace.done, left=self._pace.left()
        )
        self._bar.start()

    def advance(self, spec: TrialSpec, unit: int, state: State) -> None:
        """Says what the trial at work is doing."""
        self._bar.update(self._task, description=_doing(spec, unit, state))

    def record(self, record: Record) -> None:
        """Moves the bar on by one."""
        self._pace.record(record)
        self._bar.update(self._task, completed=self._pace.done, left=self._pace.left())

    def finish(self) -> None:
        """Takes the bar away."""
        self._bar.stop()


class Lines:
    """One line when a trial ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def start(self, plan: Plan, finished: frozenset[str]) -> None:
        """Says how much there is to do."""
        self._pace = _Pace(plan, finished)
        place = f"{self._pace.done}/{self._pace.total}"
        self._say(f"trials done: {place}, {self._pace.left()}")

    def advance(self, spec: TrialSpec, unit: int, state: State) -> None:
        """Nothing: a line for each unit would be too many."""

    def record(self, record: Record) -> None:
        """Says how the trial ended."""
        self._pace.record(record)
        how = record.stopped or record.outcome.value
        place = f"{self._pace.done}/{self._pace.total}"
        took = duration(record.wall_seconds)
        self._say(f"{place} {_trial(record.spec)}: {how} in {took}, {self._pace.left()}")

    def finish(self) -> None:
        """Nothing: the report follows."""

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _doing(spec: TrialSpec, unit: int, state: State) -> str:
    return f"{_trial(spec)}: {state}" + (f" at unit {unit}" if unit else "")


def _trial(spec: TrialSpec) -> str:
    return safe(f"{spec.attack}, seed {spec.seed}")

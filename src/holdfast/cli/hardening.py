"""How a hardening goes, on the standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from holdfast.cli.text import safe
from holdfast.verbs import Watch

if TYPE_CHECKING:
    from holdfast.engine.harden import Advance, Hardening

_EVERY = 10.0  # seconds between two lines


def watch() -> Watch:
    """A bar where someone is looking, lines where it is a file."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines(console)


class Bar(Watch):
    """One bar for each defence, with the terms of its loss beside it."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}", markup=False),
            console=console,
        )

    def start(self, hardening: Hardening) -> None:
        """Shows the bars, all empty."""
        self._tasks = [
            self._bar.add_task(safe(stage.name), total=stage.units, terms="", start=False)
            for stage in hardening.stages
        ]
        self._bar.start()

    def advance(self, advance: Advance) -> None:
        """Moves a defence's bar on."""
        task = self._tasks[advance.stage]
        self._bar.start_task(task)
        self._bar.update(task, completed=advance.unit, terms=terms(advance.notes))

    def finish(self) -> None:
        """Leaves the bars as they are."""
        self._bar.stop()


class Lines(Watch):
    """A line every ten seconds, and one at the end of each defence."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def start(self, hardening: Hardening) -> None:
        """Remembers what is to be done."""
        self._stages, self._said, self._begun = hardening.stages, time.monotonic(), {}

    def advance(self, advance: Advance) -> None:
        """Says where a defence is, if it is time to."""
        stage, now = self._stages[advance.stage], time.monotonic()
        begun = self._begun.setdefault(advance.stage, (now, advance.unit))
        if now - self._said < _EVERY and advance.unit < stage.units:
            return
        self._said = now
        pace = (now - begun[0]) / max(1, advance.unit - begun[1])
        left = f"{pace * (stage.units - advance.unit):.0f} s left"
        place = f"{safe(stage.name)}: {advance.unit}/{stage.units}"
        line = f"{place}, {left}, {terms(advance.notes)}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Nothing: what came of it follows."""


def terms(notes: Mapping[str, float]) -> str:
    """A defence's figures: loss 0.31, retain 0.02."""
    return ", ".join(f"{safe(name)} {value:.4g}" for name, value in notes.items())

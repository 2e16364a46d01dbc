"""Runs a plan into a ledger: skips what is done, goes on after a fault, stops cleanly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from holdfast.core import Record, TrialSpec
from holdfast.engine.choices import CONTROL
from holdfast.engine.ledger import Ledger
from holdfast.engine.plan import Plan
from holdfast.engine.runner import Runner, State
from holdfast.engine.stops import Stops, mean

if TYPE_CHECKING:
    from holdfast.models import Handle


class Progress(Protocol):
    """Hears how a run goes; the command line draws it."""

    def start(self, plan: Plan, finished: frozenset[str]) -> None:
        """The run begins; the trials with the keys `finished` need not run again."""
        ...

    def advance(self, spec: TrialSpec, unit: int, state: State) -> None:
        """Within a trial: `unit` units are done, and this is what happens now."""
        ...

    def record(self, record: Record) -> None:
        """A trial has ended and is in the ledger."""
        ...

    def finish(self) -> None:
        """The run is over, whether to its end or not."""
        ...


class Interrupted(KeyboardInterrupt):
    """The user stopped the run. Nothing half done was kept; the same command goes on.

    finished, total: how many of the plan's trials are in the ledger.
    """

    def __init__(self, finished: int, total: int) -> None:
        self.finished, self.total = finished, total
        super().__init__(f"{finished} of {total} trials are kept")


class Silent:
    """Progress that nobody watches."""

    def start(self, plan: Plan, finished: frozenset[str]) -> None:
        """Nothing."""

    def advance(self, spec: TrialSpec, unit: int, state: State) -> None:
        """Nothing."""

    def record(self, record: Record) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


def run(
    plan: Plan,
    load: Mapping[str, Callable[[], Handle]],
    ledger: Ledger,
    manifest: Mapping[str, Any],
    progress: Progress | None = None,
) -> None:
    """Executes the trials of `plan` that are not in `ledger` yet, one after another.

    Args:
        plan: what to run.
        load: model digest -> loads it; called when its first trial comes up, and the model
            before it is let go, so that one is in memory at a time.
        ledger: where trials are written as they end.
        manifest: what a reader needs to reproduce the run; stored with it.
        progress: hears how it goes.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        LedgerError: a trial could not be written; those before it are kept.
    """
    watch = progress or Silent()
    keys = [spec.key for spec in plan.trials]
    ledger.begin((plan.target, plan.reference), keys, plan.request.panel.index, manifest)
    watch.start(plan, ledger.finished() & frozenset(keys))
    try:
        _run(plan, load, ledger, watch)
    except KeyboardInterrupt:
        raise Interrupted(len(ledger.finished() & set(keys)), len(keys)) from None
    finally:
        watch.finish()


def _run(
    plan: Plan, load: Mapping[str, Callable[[], Handle]], ledger: Ledger, watch: Progress
) -> None:
    domain, finished = plan.request.domain, ledger.finished()
    runner, loaded = None, None
    for spec in plan.trials:
        if spec.key in finished:
            continue
        if runner is None or loaded != spec.model:
            runner = None  # let go of the one before, so that only one is in memory
            watch.advance(spec, 0, "loading")
            runner, loaded = Runner(load[spec.model], domain, plan.request.panel), spec.model

        def tell(unit: int, state: State, spec: TrialSpec = spec) -> None:
            watch.advance(spec, unit, state)

        ended = runner.run(spec, _stops(plan, spec, ledger), tell)
        ledger.add(ended, keep_text=domain.harmless)
        watch.record(ended.record)


def _stops(plan: Plan, spec: TrialSpec, ledger: Ledger) -> Stops:
    """The bars of one trial; the ceiling is what the reference answers, untouched."""
    ceiling: dict[str, float | None] = {}
    if plan.reference is not None:
        keys = [
            s.key for s in plan.trials if s.model == plan.reference.digest and s.attack == CONTROL
        ]
        for record in ledger.records(keys):
            for split in ("held_out", "search"):
                ceiling[split] = mean(record.readings[0], split, "harm")
    rules = spec.protocol
    return Stops(
        tau=rules["tau"],
        delta=rules["delta"],
        collapse=rules["collapse"],
        full_curves=rules["full_curves"],
        splits=plan.request.panel.index,
        ceiling=ceiling,
    )

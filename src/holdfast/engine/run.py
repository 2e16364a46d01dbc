"""Runs a plan into a ledger: skips what is done, goes on after a fault, stops cleanly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from holdfast.core import Record, TrialSpec
from holdfast.engine.choices import CONTROL
from holdfast.engine.executors import Workshop, side_by_side, suitable_threads
from holdfast.engine.ledger import Ledger
from holdfast.engine.plan import Plan
from holdfast.engine.runner import Finished, Runner, State
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
    workers: int = 1,
) -> None:
    """Executes the trials of `plan` that are not in `ledger` yet.

    Args:
        plan: what to run.
        load: model digest -> loads it; called when its first trial comes up, and the model
            before it is let go, so that one is in memory at a time.
        ledger: where trials are written as they end.
        manifest: what a reader needs to reproduce the run; stored with it.
        progress: hears how it goes.
        workers: processes among which the trials after the controls are shared out. Above 1,
            `load` must be fit to be sent to another process, and a program that calls this must
            guard its start by `if __name__ == "__main__"`.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        LedgerError: a trial could not be written; those before it are kept.
    """
    watch = progress or Silent()
    keys = [spec.key for spec in plan.trials]
    ledger.begin((plan.target, plan.reference), keys, plan.request.panel.index, manifest)
    watch.start(plan, ledger.finished() & frozenset(keys))
    try:
        with suitable_threads(plan.target):
            _run(plan, load, ledger, watch, workers)
    except KeyboardInterrupt:
        raise Interrupted(len(ledger.finished() & set(keys)), len(keys)) from None
    finally:
        watch.finish()


def _run(
    plan: Plan,
    load: Mapping[str, Callable[[], Handle]],
    ledger: Ledger,
    watch: Progress,
    workers: int,
) -> None:
    """The controls here, since they say when to stop; the rest here or side by side."""
    finished = ledger.finished()
    left = [spec for spec in plan.trials if spec.key not in finished]
    here = left if workers == 1 else [spec for spec in left if spec.attack == CONTROL]
    there = left[len(here) :]
    for ended in _one_by_one(plan, load, here, ledger, watch):
        _keep(ended, plan, ledger, watch)
    if there:
        request = plan.request
        shop = Workshop(load[plan.target.digest], request.domain, request.panel)
        jobs = ((spec, _stops(plan, spec, ledger)) for spec in there)

        def begun(spec: TrialSpec) -> None:
            watch.advance(spec, 0, "attacking")

        for ended in side_by_side(shop, jobs, min(workers, len(there)), begun):
            _keep(ended, plan, ledger, watch)


def _keep(ended: Finished, plan: Plan, ledger: Ledger, watch: Progress) -> None:
    ledger.add(ended, keep_text=plan.request.domain.harmless)
    watch.record(ended.record)


def _one_by_one(
    plan: Plan,
    load: Mapping[str, Callable[[], Handle]],
    specs: Sequence[TrialSpec],
    ledger: Ledger,
    watch: Progress,
) -> Iterator[Finished]:
    runner, loaded = None, None
    for spec in specs:
        if runner is None or loaded != spec.model:
            runner = None  # let go of the one before, so that only one is in memory
            watch.advance(spec, 0, "loading")
            runner = Runner(load[spec.model], plan.request.domain, plan.request.panel)
            loaded = spec.model

        def tell(unit: int, state: State, spec: TrialSpec = spec) -> None:
            watch.advance(spec, unit, state)

        yield runner.run(spec, _stops(plan, spec, ledger), tell)


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

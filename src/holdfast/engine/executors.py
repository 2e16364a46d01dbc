"""Where trials run: one after another here, or side by side in a process for each core."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from holdfast.core import HoldfastError, Subject, TrialSpec
from holdfast.engine.measuring import Panel
from holdfast.engine.runner import Finished, Runner
from holdfast.engine.stops import Stops

if TYPE_CHECKING:
    from holdfast.domains import Domain
    from holdfast.models import Handle

SMALL = 30_000_000
"""Parameters below which a processor's threads cost a model more than they gain it."""

_MANY = 16  # trials from which starting processes pays

Job = tuple[TrialSpec, Stops]


@dataclass(frozen=True)
class Workshop:
    """What a worker needs: how to load the model, and what to measure on what."""

    load: Callable[[], Handle]
    domain: Domain
    panel: Panel


def suitable_workers(subject: Subject, trials: int) -> int:
    """How many processes suit: one for each core for many trials of a small model, else one."""
    if not _is_small(subject) or trials < _MANY:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def suitable_threads(subject: Subject) -> Generator[None]:
    """One thread for a small model on a processor; afterwards as before.

    It is also what makes a trial's numbers the same here and in a worker.
    """
    import torch

    before = torch.get_num_threads()
    if _is_small(subject):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(
    shop: Workshop, jobs: Iterable[Job], workers: int, begun: Callable[[TrialSpec], None]
) -> Iterator[Finished]:
    """Runs `jobs` in `workers` processes; yields each as it ends.

    A worker ends when this process does, however that ends. Ctrl-C is this process's to answer.

    Raises:
        HoldfastError: a worker died.
    """
    context = get_context("spawn")
    waiting = iter(jobs)
    busy: dict[Connection, tuple[BaseProcess, TrialSpec]] = {}

    def give(pipe: Connection, process: BaseProcess) -> None:
        job = next(waiting, None)
        if job is None:
            pipe.close()
            return
        begun(job[0])
        pipe.send(job)
        busy[pipe] = (process, job[0])

    processes: list[BaseProcess] = []
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, shop), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            give(ours, process)
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                process, spec = busy.pop(pipe)
                yield _received(pipe, process, spec)
                give(pipe, process)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _received(pipe: Connection, process: BaseProcess, spec: TrialSpec) -> Finished:
    try:
        return pipe.recv()
    except EOFError:
        process.join()
        raise HoldfastError(
            "workers that live to the end",
            found=f"one that ended with code {process.exitcode} in a trial of {spec.attack!r}",
            remedy="Trials that ended are kept; the same command with --workers 1 goes on.",
        ) from None


def _work(pipe: Connection, shop: Workshop) -> None:
    """A worker's life: load once, then one job after another until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    runner = Runner(shop.load, shop.domain, shop.panel)
    with suppress(EOFError), suitable_threads(runner.subject):
        while True:
            spec, stops = pipe.recv()
            pipe.send(runner.run(spec, stops, lambda _unit, _state: None))


def _is_small(subject: Subject) -> bool:
    return subject.device == "cpu" and subject.parameters < SMALL

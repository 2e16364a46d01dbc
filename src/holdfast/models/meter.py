"""The attacker's bill, counted where it is run up."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from holdfast.core import Spend
from holdfast.models.flops import Flops


class Meter:
    """Counts what is done to a model: examples, steps, tokens, FLOPs, queries, seconds.

    Seconds run only inside `running`; nothing at all counts inside `paused`. A backward pass is
    billed when it happens.

    Args:
        flops: the model's formula; `adapted` swaps it while adapters are in place.
        settle: waits for the device, so that its seconds are its own.

    Attributes:
        plain: the formula of the model without adapters.
    """

    def __init__(self, flops: Flops, settle: Callable[[], None] = lambda: None) -> None:
        self._flops = self.plain = flops
        self._settle = settle
        self._pauses = 0
        self._started: float | None = None
        self._seen: set[str] = set()
        self._total = Spend()
        self._notes: dict[str, float] = {}

    @property
    def notes(self) -> dict[str, float]:
        """What was noted since the last `reset`: name -> latest value."""
        return dict(self._notes)

    @property
    def spend(self) -> Spend:
        """All that was counted since the last `reset`."""
        return self._total + Spend(examples=len(self._seen), seconds=self._lap())

    @property
    def flops(self) -> Flops:
        """The formula in force."""
        return self._flops

    def reset(self) -> None:
        """Starts a new bill."""
        self._seen.clear()
        self._notes.clear()
        self._total = Spend()
        if self._started is not None:
            self._started = time.perf_counter()

    def written(self) -> dict[str, Any]:
        """The bill as JSON values, from which `restore` goes on."""
        own = self._total + Spend(seconds=self._lap())
        return {"spend": asdict(own), "seen": sorted(self._seen), "notes": self._notes}

    def restore(self, spend: Spend, seen: Iterable[str], notes: Mapping[str, float]) -> None:
        """Goes on with an earlier bill in place of what was counted so far."""
        self.reset()
        self._total, self._seen, self._notes = spend, set(seen), dict(notes)

    def count_examples(self, ids: Iterable[str]) -> None:
        """Items drawn from the data; one that was seen before is not counted again."""
        if not self._pauses:
            self._seen.update(ids)

    def note(self, name: str, value: float) -> None:
        """Keeps a figure that explains how the work went; no part of the bill."""
        if not self._pauses:
            self._notes[name] = float(value)

    def count_step(self) -> None:
        """One optimiser step."""
        self._add(Spend(steps=1))

    def count_forward(self, rows: int, tokens: int, pairs: int, heads: int) -> None:
        """A pass without gradient: `rows` new sequences, and the rest as in `Flops.forward`."""
        self._add(
            Spend(queries=rows, tokens=tokens, flops=self._flops.forward(tokens, pairs, heads))
        )

    def count_training(self, tokens: int, pairs: int, heads: int) -> None:
        """The forward half of a training pass."""
        self._add(Spend(tokens=tokens, flops=self._flops.forward(tokens, pairs, heads)))

    def count_backward(self, tokens: int, pairs: int, heads: int) -> None:
        """The backward half."""
        self._add(Spend(flops=self._flops.backward(tokens, pairs, heads)))

    def count_products(self, flops: float) -> None:
        """Matrix products of a method's own, beside the passes: two FLOPs a multiply-add."""
        self._add(Spend(flops=flops))

    @contextmanager
    def running(self) -> Generator[None]:
        """Seconds count inside; the engine holds this while an attack's own code runs."""
        assert self._started is None, "the clock is already running"
        self._settle()
        self._started = time.perf_counter()
        try:
            yield
        finally:
            self._settle()
            self._stop()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Nothing counts inside: for our own measuring. May be nested."""
        was_running = self._started is not None
        if was_running:
            self._settle()
            self._stop()
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            if was_running:
                self._settle()
                self._started = time.perf_counter()

    @contextmanager
    def adapted(self, flops: Flops) -> Generator[None]:
        """Another formula holds inside."""
        before, self._flops = self._flops, flops
        try:
            yield
        finally:
            self._flops = before

    def _add(self, spend: Spend) -> None:
        if not self._pauses:
            self._total = self._total + spend

    def _lap(self) -> float:
        return 0.0 if self._started is None else time.perf_counter() - self._started

    def _stop(self) -> None:
        self._total = self._total + Spend(seconds=self._lap())
        self._started = None

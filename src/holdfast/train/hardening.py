"""What training defences have in common: a run of so many steps that keeps its place on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, Protocol, get_args

from torch import Tensor

from holdfast.core import Seed
from holdfast.core.checks import require_one_of, require_positive, require_whole
from holdfast.models import Full, Handle, LowRank, Weights
from holdfast.train.fit import backward, descend
from holdfast.train.optimisers import Optimiser

Trained = Literal["full", "low_rank"]

StepPull = Callable[[int], float]
"""Leaves the gradient of step n, from 0, on the weights and returns the loss. It depends on the
weights and on n alone, so that a run goes on from any place as if it had never stopped."""


class Training(Protocol):
    """The settings that every trained defence has."""

    @property
    def steps(self) -> int:
        """Optimiser steps until it ends."""
        ...

    @property
    def batch(self) -> int:
        """Pairs of each kind to a step."""
        ...

    @property
    def learning_rate(self) -> float:
        """At its peak."""
        ...

    @property
    def weights(self) -> Trained:
        """Every parameter, or low-rank adapters that end up in the weights."""
        ...

    @property
    def rank(self) -> int:
        """Of the adapters."""
        ...


def check_training(settings: Training) -> None:
    """Refuse settings that cannot be.

    Raises:
        SpecError: naming the first that is wrong.
    """
    require_whole(settings, "steps", "batch", "rank")
    require_positive(settings, "learning_rate")
    require_one_of(settings, "weights", get_args(Trained))


def trained_of(settings: Training, seed: Seed) -> Full | LowRank:
    """What the settings let a defence change."""
    return Full() if settings.weights == "full" else LowRank(settings.rank, seed=seed)


def by_loss(loss: Callable[[int], Tensor]) -> Callable[[Weights], StepPull]:
    """A defence that follows the gradient of a loss, given for step n from 0."""
    return lambda _: lambda step: backward(loss(step))


def hardened(
    target: Handle,
    trained: Full | LowRank,
    pull_of: Callable[[Weights], StepPull],
    optimiser: Optimiser,
    steps: int,
    *,
    rhythm: int = 1,
) -> Iterator[Handle]:
    """Train `target` for `steps`; yield it after each, and once more at the end.

    Where the target has a journal the run goes on from the place that stands there, which it
    yields first.

    Args:
        target: the model.
        trained: what of it is trained.
        pull_of: the trained weights -> what takes a step's gradient.
        optimiser: its settings.
        steps: optimiser steps in all.
        rhythm: a place is kept only after a multiple of so many steps, where what is carried
            over from step to step begins anew.
    """
    with target.trainable(trained) as weights:
        adam, journal = optimiser.over(weights.parameters), target.journal
        done = 0 if journal is None else journal.resume(weights, adam, target.meter)
        if done:
            yield target
        pull = pull_of(weights)
        pulls = (partial(pull, step) for step in range(done, steps))
        for step in descend(target, weights, pulls, optimiser, adam=adam, done=done):
            target.meter.note("step", step.index)
            target.meter.note("loss", step.loss)
            last = step.index == steps
            if journal is not None and (last or step.index % rhythm == 0):
                journal.keep(step.index, weights, adam, target.meter, now=last)
            yield target
        yield target

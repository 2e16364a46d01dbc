"""What an attack makes of a model along its way, as a gradient where it began."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from holdfast.core import Diverged
from holdfast.models import Meter, Weights
from holdfast.train.nudges import Loss, gradient_of


@dataclass(frozen=True)
class Tampered:
    """A sum of gradients along one attack.

    Attributes:
        gradient: of the sum, for each of the weights.
        losses: by steps of the attack done; not finite where the attack broke down.
        total: the weighted sum of the losses.
    """

    gradient: list[Tensor]
    losses: dict[int, float]
    total: float


def marks(steps: int, every: int, growth: float | None) -> dict[int, float]:
    """Steps of an attack after which a loss is read, counted back from the last, with weights.

    Args:
        steps: the attack's length K.
        every: one step in so many is read.
        growth: exp(growth * (n - K)) is the weight after n steps; None for 1 / K throughout.
    """
    read = range(steps, 0, -every)
    return {n: 1.0 / steps if growth is None else math.exp(growth * (n - steps)) for n in read}


def tampered_gradient(
    meter: Meter,
    weights: Weights,
    begin: Callable[[], Iterator[object]],
    loss: Loss,
    marked: Mapping[int, float],
) -> Tampered:
    """Sum over n in `marked` of marked[n] times the loss's gradient after n steps of an attack.

    How:     the gradient is taken at the attacked weights with respect to what is trained
             outside, and stands for one at the weights where the attack began: first order.
             Afterwards everything is as before, bit for bit, and no `.grad` is left.
    Units:   one step is what the attack yields after.

    Args:
        meter: billed for the attack as for an attack on a plain model, for the losses as outside.
        weights: what is trained outside. An adversary may train the same, or something else.
        begin: starts the attack, which undoes itself when it is closed.
        loss: at the weights as they stand.
        marked: steps done -> weight.
    """
    outside = meter.flops
    sums = [torch.zeros_like(p) for p in weights.parameters]
    losses = dict.fromkeys(sorted(marked), math.nan)
    with meter.adapted(meter.plain), closing(_steps(begin)) as steps:
        try:
            for n, _ in enumerate(islice(steps, max(marked)), start=1):
                if n in marked:
                    with meter.adapted(outside), _wanted(weights):
                        value, gradient = gradient_of(loss, weights.parameters)
                    losses[n] = value.item()
                    for held, part in zip(sums, gradient, strict=True):
                        held.add_(part, alpha=marked[n])
        except Diverged:  # an adversary that broke down teaches nothing: what is missing is NaN
            pass
    meter.note("tampered", losses[max(marked)])
    for parameter in weights.parameters:
        parameter.grad = None  # of an adversary that trains a part alone
    return Tampered(sums, losses, sum(marked[n] * value for n, value in losses.items()))


def _steps(begin: Callable[[], Iterator[object]]) -> Generator[object]:
    """An attack as a generator, so that closing it undoes what it did."""
    yield from begin()


@contextmanager
def _wanted(weights: Weights) -> Generator[None]:
    """All of the weights require a gradient inside: a low-rank adversary has frozen them."""
    flags = [p.requires_grad for p in weights.parameters]
    try:
        for parameter in weights.parameters:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter, flag in zip(weights.parameters, flags, strict=True):
            parameter.requires_grad_(flag)

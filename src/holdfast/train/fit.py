"""The only training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.core import Diverged
from holdfast.models import Handle, Weights
from holdfast.train.examples import IGNORED, Batch
from holdfast.train.optimisers import Optimiser
from holdfast.train.schedule_free import at_gradient

_PATIENCE = 3  # non-finite losses in a row before a run counts as diverged

Pull = Callable[[], float]
"""Leaves one step's gradient on the weights, which come without any, and returns the loss."""


@dataclass(frozen=True)
class Step:
    """One finished optimiser step, counted from 1, with the learning rate that it used.

    The rate is read off the optimiser, so it is the realised one.
    """

    index: int
    loss: float
    learning_rate: float


def descend(
    target: Handle,
    weights: Weights,
    pulls: Iterable[Pull],
    optimiser: Optimiser,
    *,
    adam: torch.optim.Optimizer | None = None,
    done: int = 0,
) -> Iterator[Step]:
    """One optimiser step for each of `pulls`; yield after each.

    How: set the rate; take the gradient; clip; step. A step whose loss is not finite changes
    nothing. To go on where an earlier run stopped, pass its optimiser, the number of steps done
    and the pulls that remain.

    Raises:
        Diverged: the loss was not finite three times in a row.
    """
    adam = adam or optimiser.over(weights.parameters)
    misses = 0
    for index, pull in enumerate(pulls, start=done + 1):
        rate = optimiser.learning_rate * optimiser.schedule.factor(index - 1)
        for group in adam.param_groups:
            group["lr"] = rate
        with at_gradient(adam):
            adam.zero_grad(set_to_none=True)
            value = pull()
            misses = 0 if math.isfinite(value) else misses + 1
            if misses >= _PATIENCE:
                raise Diverged(index)
            if misses == 0:
                if optimiser.clip is not None:
                    torch.nn.utils.clip_grad_norm_(weights.parameters, optimiser.clip)
                adam.step()
        target.meter.count_step()
        yield Step(index, value, adam.param_groups[0]["lr"])


def fit(
    target: Handle,
    weights: Weights,
    batches: Iterable[Batch],
    optimiser: Optimiser,
    *,
    adam: torch.optim.Optimizer | None = None,
    done: int = 0,
    autocast: torch.dtype | None = None,
) -> Iterator[Step]:
    """Train `weights` of `target` on `batches` by mean cross-entropy over their label tokens.

    Args:
        target: the model.
        weights: what of it is trained.
        batches: one for each step.
        optimiser: the optimiser's settings.
        adam: the optimiser itself, to go on with.
        done: steps done before.
        autocast: dtype of the forward pass's matrix products, the weights' own unless given.

    Raises:
        Diverged: the loss was not finite three times in a row.
    """
    pulls = (partial(_pull, target, batch, autocast) for batch in batches)
    return descend(target, weights, pulls, optimiser, adam=adam, done=done)


def _pull(target: Handle, batch: Batch, autocast: torch.dtype | None) -> float:
    # entered anew each step: autocast keeps the weights that it has cast until it is left
    with torch.autocast(target.device.type, autocast, enabled=autocast is not None):
        loss = batch_loss(target, batch)
    return backward(loss)


def backward(loss: Tensor) -> float:
    """The loss's value, its gradient added to the weights' where the value is finite."""
    value = loss.item()
    if math.isfinite(value):
        loss.backward()
    return value


def batch_loss(target: Handle, batch: Batch) -> Tensor:
    """`answer_loss` of a batch whose items go on the bill."""
    target.meter.count_examples(batch.items)
    return answer_loss(target, batch)


def answer_loss(target: Handle, batch: Batch) -> Tensor:
    """Mean next-token cross-entropy over the labelled tokens of a batch, () float32.

    Position t predicts label t + 1. Where few positions are labelled, as in question and answer,
    logits are computed for these alone; otherwise for all, so that every batch has one shape.
    """
    following = batch.following
    labelled = following != IGNORED
    if 2 * int(labelled.sum()) > labelled.numel():
        logits = target.forward(batch.ids, batch.mask).flatten(0, 1)
        following = following.flatten()
    else:
        logits = target.forward(batch.ids, batch.mask, labelled)
        following = following[labelled]
    return cross_entropy(logits.float(), following.to(logits.device), ignore_index=IGNORED)

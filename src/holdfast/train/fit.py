"""The only training loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.core import Diverged
from holdfast.models import Handle, Weights
from holdfast.train.examples import IGNORED, Batch
from holdfast.train.optimisers import AdamW

_PATIENCE = 3  # non-finite losses in a row before a run counts as diverged


@dataclass(frozen=True)
class Step:
    """One finished optimiser step, counted from 1, with the learning rate that it used."""

    index: int
    loss: float
    learning_rate: float


def fit(
    target: Handle,
    weights: Weights,
    batches: Iterable[Batch],
    optimiser: AdamW,
    *,
    adam: torch.optim.Optimizer | None = None,
    done: int = 0,
) -> Iterator[Step]:
    """Train `weights` of `target` on `batches`, one optimiser step for each; yield after each.

    How: mean cross-entropy over the batch's label tokens; clip; step. The meter is charged for
    each step where it happens. A non-finite loss is not stepped on. To go on where an earlier
    run stopped, pass its optimiser, the number of steps done and the batches that remain.

    Raises:
        Diverged: the loss was not finite three times in a row.
    """
    adam = adam or optimiser.over(weights.parameters)
    misses = 0
    for index, batch in enumerate(batches, start=done + 1):
        rate = optimiser.learning_rate * optimiser.schedule.factor(index - 1)
        for group in adam.param_groups:
            group["lr"] = rate
        loss = token_loss(target.training_logits(batch.ids, batch.mask), batch.labels)
        target.meter.count_training(batch.ids.shape, weights, items=batch.items)
        value = loss.item()
        finite = math.isfinite(value)
        misses = 0 if finite else misses + 1
        if misses >= _PATIENCE:
            raise Diverged(index)
        adam.zero_grad(set_to_none=True)
        if finite:
            loss.backward()
            if optimiser.clip is not None:
                torch.nn.utils.clip_grad_norm_(weights.parameters, optimiser.clip)
            adam.step()
        yield Step(index, value, rate)


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean next-token cross-entropy over the labelled tokens.

    Shapes: logits (b, t, v); labels (b, t); result () float32. Position t predicts label t + 1.
    """
    learned = labels[:, 1:] != IGNORED
    return cross_entropy(logits[:, :-1][learned].float(), labels[:, 1:][learned])

"""Passes through which a gradient may flow: billed forward at once, backward when it happens."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from holdfast.models import hooks, passes
from holdfast.models.anatomy import Anatomy
from holdfast.models.meter import Meter

Bill = tuple[int, int, int]
"""Tokens, pairs of query and key, positions that reach the head: as `Flops` counts them."""


def forward(model: Any, meter: Meter, ids: Tensor, mask: Tensor, keep: Tensor | None) -> Tensor:
    """Logits (b, t, v), or (n, v) for the n positions of `keep` (b, t) bool."""
    logits = _logits(model, ids, mask, keep)
    bill = _count(meter, ids, logits)
    if logits.requires_grad:
        logits.register_hook(lambda _: meter.count_backward(*bill))
    return logits


def forward_states(
    model: Any, anatomy: Anatomy, meter: Meter, ids: Tensor, mask: Tensor, keep: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    """The same, and the residual stream as L + 1 states (b, t, d): block inputs, last output.

    A backward pass is billed from the deepest place that a gradient comes from: all blocks from
    the logits, the first l of them from the input of block l; less those at the bottom in which
    nothing is trained, since it ends above them.
    """
    states: list[Tensor] = []
    with hooks.captured(anatomy, lambda _, x: states.append(x)):
        logits = _logits(model, ids, mask, keep)
    tokens, pairs, heads = _count(meter, ids, logits)
    passed: list[bool] = []

    def count(share: float, heads: int, _: Tensor) -> None:
        if not passed:  # autograd comes by the deepest place first
            meter.count_backward(round(share * tokens), round(share * pairs), heads)
        passed.append(True)

    last, still = len(states) - 1, 0
    if not meter.flops.frozen:  # a formula that freezes something leaves these blocks out itself
        first = next((at for at, state in enumerate(states) if state.requires_grad), last)
        still = max(first - 1, 0)  # the block before the first such state is trained
    for layer, state in enumerate(states):
        if state.requires_grad:
            state.register_hook(partial(count, max(layer - still, 0) / last, 0))
    if logits.requires_grad:
        logits.register_hook(partial(count, (last - still) / last, heads))
    return logits, states


def _logits(model: Any, ids: Tensor, mask: Tensor, keep: Tensor | None) -> Tensor:
    if keep is None:
        return passes.logits_of(model, ids, mask)
    with passes.heading_only(model, keep):
        return passes.logits_of(model, ids, mask)[0]


def _count(meter: Meter, ids: Tensor, logits: Tensor) -> Bill:
    """Bills the forward pass, as queries under `no_grad`."""
    heads = logits.numel() // logits.shape[-1]
    bill = (ids.numel(), ids.numel() * ids.shape[1], heads)
    if torch.is_grad_enabled():
        meter.count_training(*bill)
    else:
        meter.count_forward(len(ids), *bill)
    return bill

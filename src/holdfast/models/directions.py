"""Directions in the residual stream: found from means, taken out, or added while running.

Paper: arXiv 2406.11717.
"""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast.models.hooks import Change, Site


def difference_of_means(ones: Tensor, others: Tensor) -> Tensor:
    """mean(ones) - mean(others), (..., d) float64 from (n, ..., d) and (m, ..., d)."""
    return ones.double().mean(0) - others.double().mean(0)


def unit(direction: Tensor) -> Tensor:
    """The direction (..., d) at length one, float64; NaN where it has no length."""
    direction = direction.double()
    return direction / direction.norm(dim=-1, keepdim=True)


def without(states: Tensor, direction: Tensor) -> Tensor:
    """States (..., d) less their component along `direction` (d,), in the states' dtype."""
    r = unit(direction).to(states.device, torch.promote_types(states.dtype, torch.float32))
    wide = states.to(r.dtype)
    return (wide - (wide @ r)[..., None] * r).to(states.dtype)


def ablation(direction: Tensor) -> list[tuple[Site, Change]]:
    """Hooks that take `direction` (d,) out at every block's input, attention and MLP output."""

    def change(states: Tensor, _: int) -> Tensor:
        return without(states, direction)

    return [("block_input", change), ("attention_output", change), ("mlp_output", change)]


def addition(direction: Tensor, layer: int) -> list[tuple[Site, Change]]:
    """A hook that adds `direction` (d,), at its own length, to block `layer`'s input."""

    def change(states: Tensor, at: int) -> Tensor:
        if at != layer:
            return states
        return states + direction.to(states.device, states.dtype)

    return [("block_input", change)]

"""Losses on the residual stream, as it is against as it was."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from holdfast.core import Seed, SpecError
from holdfast.core.checks import is_finite
from holdfast.models import Handle, generator
from holdfast.train.examples import IGNORED, Batch


def states_of(target: Handle, batch: Batch) -> list[Tensor]:
    """The L + 1 states (b, t, d) of a batch whose items go on the bill; the head does no work."""
    target.meter.count_examples(batch.items)
    nowhere = torch.zeros_like(batch.ids, dtype=torch.bool)
    return target.forward_states(batch.ids, batch.mask, nowhere)[1]


@torch.no_grad()
def fixed_states(twin: Handle, batch: Batch) -> list[Tensor]:
    """The same of a frozen copy, as constants."""
    return states_of(twin, batch)


@contextmanager
def mlp_outputs(target: Handle) -> Generator[list[Tensor]]:
    """What the MLPs add to the stream (b, t, d) in one pass inside, block by block."""
    outputs: list[Tensor] = []

    def see(states: Tensor, _: int) -> Tensor:
        outputs.append(states)
        return states

    with target.hooked([("mlp_output", see)]):
        yield outputs


def read(batch: Batch, like: Tensor) -> Tensor:
    """Which positions hold a token, (b, t) bool where `like` is."""
    return (batch.mask != 0).to(like.device)


def said(batch: Batch, like: Tensor) -> Tensor:
    """Which positions hold a token of the answer, (b, t) bool where `like` is."""
    return (batch.labels != IGNORED).to(like.device)


def mean_over(values: Sequence[Tensor], where: Tensor) -> Tensor:
    """Mean of values (b, t), one for each layer, over the positions `where` (b, t) bool."""
    return torch.stack([v[where].mean() for v in values]).mean()


def blurred(states: Sequence[Tensor], seed: Seed) -> list[Tensor]:
    """States whose entries are off by up to half of bfloat16's last digit, at random."""
    random = generator(seed, states[0].device)
    half = torch.finfo(torch.bfloat16).eps / 2.0
    found: list[Tensor] = []
    for state in states:
        off = torch.rand(state.shape, generator=random, device=state.device) * 2.0 - 1.0
        found.append(state.float() * (1.0 + half * off))
    return found


def alignment(new: Sequence[Tensor], old: Sequence[Tensor], where: Tensor) -> Tensor:
    """Mean of ReLU(cos(new, old)): no gradient comes from what is orthogonal or opposed."""
    cosines = [
        cosine_similarity(a.float(), b.float(), dim=-1) for a, b in zip(new, old, strict=True)
    ]
    return mean_over([c.relu() for c in cosines], where)


def drift(new: Sequence[Tensor], old: Sequence[Tensor], where: Tensor) -> Tensor:
    """Mean of |new - old|_2 over positions and layers, in mean norms of the old ones there."""
    moved: list[Tensor] = []
    for a, b in zip(new, old, strict=True):
        scale = b.float()[where].norm(dim=-1).mean()
        moved.append((a.float() - b.float()).norm(dim=-1) / scale)
    return mean_over(moved, where)


def state_at(depth: float, layers: int) -> int:
    """The index of the state that lies at a share of the layers: the output of a block, from 1."""
    return min(max(round(depth * layers), 1), layers)


def require_depths(settings: object, field: str) -> None:
    """Refuse anything but shares above 0 and up to 1, at least one of them.

    Raises:
        SpecError: naming the field.
    """
    value: object = getattr(settings, field)
    fits = isinstance(value, tuple) and all(is_finite(d) and 0.0 < d <= 1.0 for d in value)  # pyright: ignore[reportUnknownVariableType]
    if not fits or not value:
        raise SpecError(
            f"shares of the layers above 0 and up to 1 for {field!r}",
            found=repr(value),
            remedy=f"Give {type(settings).__name__.lower()}:{field}=0.3|0.6, say.",
        )

"""The triplet loss on states: answers that are kept apart from answers that are gathered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

Distance = Literal["l2", "cosine"]


@dataclass(frozen=True)
class Margins:
    """How far apart is far enough.

    Attributes:
        distance: "cosine" is 1 - cos; "l2" is the Euclidean one in mean norms of the old states.
        kept: margin of what is kept. gathered: of what is gathered.
        detached: whether the centre is a constant to the gradient.
    """

    distance: Distance
    kept: float
    gathered: float
    detached: bool


@dataclass(frozen=True)
class Layer:
    """States of one layer at the positions that count.

    Shapes: new_kept, old_kept (n, d); new_gathered, old_gathered (m, d); new ones with a gradient.
    """

    new_kept: Tensor
    old_kept: Tensor
    new_gathered: Tensor
    old_gathered: Tensor

    @property
    def scale(self) -> Tensor:
        """Mean norm of all old states, ()."""
        return torch.cat([self.old_kept, self.old_gathered]).float().norm(dim=-1).mean()

    def centre(self, margins: Margins) -> Tensor:
        """Mean of the new states that are gathered, (1, d)."""
        mean = self.new_gathered.float().mean(0, keepdim=True)
        return mean.detach() if margins.detached else mean


def kept_loss(layer: Layer, margins: Margins) -> Tensor:
    """Mean ReLU(d(new, old) - d(new, centre) + margin) over what is kept, () float32."""
    centre, scale = layer.centre(margins), layer.scale
    near = between(layer.new_kept, layer.old_kept, margins.distance, scale)
    far = between(layer.new_kept, centre, margins.distance, scale)
    return (near - far + margins.kept).relu().mean()


def gathered_loss(layer: Layer, margins: Margins) -> Tensor:
    """Mean ReLU(d(new, centre) - d(new, old) + margin) over what is gathered, () float32."""
    centre, scale = layer.centre(margins), layer.scale
    near = between(layer.new_gathered, centre, margins.distance, scale)
    far = between(layer.new_gathered, layer.old_gathered, margins.distance, scale)
    return (near - far + margins.gathered).relu().mean()


def divergence(new: Tensor, old: Tensor, temperature: float) -> Tensor:
    """Mean over rows (n, v) of T^2 KL(old || new) at temperature T, () float32."""
    was = (old.float() / temperature).log_softmax(-1)
    now = (new.float() / temperature).log_softmax(-1)
    return temperature**2 * (was.exp() * (was - now)).sum(-1).mean()


def between(a: Tensor, b: Tensor, distance: Distance, scale: Tensor) -> Tensor:
    """Distances (n,) of rows."""
    if distance == "cosine":
        return 1.0 - cosine_similarity(a.float(), b.float(), dim=-1)
    return (a.float() - b.float()).norm(dim=-1) / scale

"""Maximum mean discrepancy between two samples, and between states and noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.core import Seed
from holdfast.models import Handle, generator

_KERNELS = 5
_MIDDLE = 2  # the kernel whose width is the mean distance


def mmd(x: Tensor, z: Tensor) -> Tensor:
    """MMD^2 of samples x and z as the V-statistic over five Gaussian kernels, () float32.

    How:     k(a, b) = sum over i of exp(-|a - b|^2 / (s 2^i)), where s 2^2 is the mean squared
             distance between two of all the rows; s is a constant to the gradient. A V-statistic
             counts a row with itself, so two samples of one distribution do not give 0: for wide
             rows n to a sample it is (2 / n)(5 - sum over i of e^(-4 / 2^i)).
    Shapes:  x, z (n, k), as many rows in each.
    Paper:   Gretton et al. 2012; the kernels are those of arXiv:2405.14577.
    """
    rows = torch.cat([x, z]).float()
    distances = _squared_distances(rows)
    n = len(rows)
    mean = distances.detach().sum() / (n * n - n)
    width = (mean / 2**_MIDDLE).clamp(min=torch.finfo(mean.dtype).tiny)
    kernels = torch.stack([(-distances / (width * 2**i)).exp() for i in range(_KERNELS)]).sum(0)
    side = torch.ones(n, device=rows.device)
    side[len(x) :] = -1.0
    return (side[:, None] * kernels * side).sum() / len(x) ** 2


def from_noise(target: Handle, layers: Sequence[Tensor], counts: Tensor, seed: Seed) -> Tensor:
    """Mean over layers of MMD^2 between states and fresh N(0, 1), an example a row, () float32.

    Noise is drawn for the positions that count alone, row by row, so padding moves nothing.

    Args:
        target: billed for the products.
        layers: states (b, t, d).
        counts: (b, t) bool, the positions that count; all others are zero on both sides.
        seed: of the noise.
    """
    counts = counts.to(layers[0].device)
    random = generator(seed, counts.device)
    found: list[Tensor] = []
    for states in layers:
        drawn = (int(counts.sum()), states.shape[-1])
        noise = torch.zeros(states.shape, device=counts.device)
        noise[counts] = torch.randn(drawn, generator=random, device=counts.device)
        rows = (states.float() * counts[..., None]).flatten(1)
        found.append(mmd(rows, noise.flatten(1)))
        target.meter.count_products(3 * 2.0 * (2 * len(rows)) ** 2 * rows.shape[1])
    return torch.stack(found).mean()


def _squared_distances(rows: Tensor) -> Tensor:
    """|a - b|^2 between all rows (n, k), as one product; from their mean, to keep digits."""
    centred = rows - rows.detach().mean(0)
    squares = centred.square().sum(1)
    found = squares[:, None] + squares - 2.0 * (centred @ centred.T)
    return found.clamp(min=0.0).masked_fill(
        torch.eye(len(rows), dtype=torch.bool, device=rows.device), 0.0
    )

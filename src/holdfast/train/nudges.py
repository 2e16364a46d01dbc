"""Gradients a little way off the weights as they are, and what they say of curvature."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from holdfast.core import SpecError

Loss = Callable[[], Tensor]
"""A scalar at the weights as they stand when it is called."""


def gradient_of(loss: Loss, parameters: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The loss's value, and its gradient with respect to each parameter; no `.grad` is touched."""
    value = loss()
    gradient = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return value.detach(), list(gradient)


def dot(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Inner product over all tensors together, () float32."""
    products = [(a.float() * b.float()).sum() for a, b in zip(one, other, strict=True)]
    return torch.stack(products).sum()


def norm(vector: Sequence[Tensor]) -> Tensor:
    """Euclidean norm over all tensors together, () float32."""
    return torch.stack([part.float().norm() for part in vector]).norm()


def add_to_gradients(
    parameters: Sequence[Tensor], vector: Sequence[Tensor], weight: float = 1.0
) -> None:
    """Adds weight * vector to what stands in `.grad`."""
    for parameter, part in zip(parameters, vector, strict=True):
        if parameter.grad is None:
            parameter.grad = weight * part
        else:
            parameter.grad.add_(part, alpha=weight)


@contextmanager
def nudged(
    parameters: Sequence[Tensor], direction: Sequence[Tensor], size: float
) -> Generator[None]:
    """The parameters stand at w + size * direction inside; on exit they have their old bits."""
    kept = [p.detach().clone() for p in parameters]
    try:
        with torch.no_grad():
            for parameter, part in zip(parameters, direction, strict=True):
                parameter.add_(part, alpha=size)
        yield
    finally:
        with torch.no_grad():
            for parameter, values in zip(parameters, kept, strict=True):
                parameter.copy_(values)


def attenuation(
    loss: Loss, parameters: Sequence[Tensor], size: float
) -> tuple[float, list[Tensor]]:
    """What a step of length `size` down a loss gains, and that gain's gradient to first order.

    How:     with g the gradient at w and w' = w - size * g / |g|, the gain is loss(w) - loss(w')
             and its gradient is taken to be g - g(w'), as if w' - w were fixed.

    Where the gradient vanishes there is no step: 0 with no gradient is returned.
    """
    before, gradient = gradient_of(loss, parameters)
    length = float(norm(gradient))
    if not length:
        return 0.0, [torch.zeros_like(p) for p in parameters]
    with nudged(parameters, gradient, -size / length):
        after, there = gradient_of(loss, parameters)
    return float(before - after), [a - b for a, b in zip(gradient, there, strict=True)]


def cosine_gradient(
    one: Loss, other: Loss, parameters: Sequence[Tensor], radius: float
) -> tuple[float, list[Tensor]]:
    """The cosine c of two losses' gradients a and b, and its own gradient by differences.

    How:     the gradient of c is H_a (b^ - c a^) / |a| + H_b (a^ - c b^) / |b|, with a^ and b^ of
             length 1; each Hessian's product is the change of the gradient over a step of
             `radius` along its direction, divided by `radius`. Four gradients in all.
    Units:   radius is a distance in the space of all parameters together.

    Where a gradient vanishes the cosine has no value: 0 with no gradient is returned.
    """
    a, b = (gradient_of(loss, parameters)[1] for loss in (one, other))
    length_a, length_b = float(norm(a)), float(norm(b))
    if not (length_a and length_b):
        return 0.0, [torch.zeros_like(p) for p in parameters]
    c = float(dot(a, b)) / (length_a * length_b)
    total = [torch.zeros_like(p) for p in parameters]
    for loss, (mine, mine_length), (its, its_length) in (
        (one, (a, length_a), (b, length_b)),
        (other, (b, length_b), (a, length_a)),
    ):
        across = [y / its_length - c * x / mine_length for x, y in zip(mine, its, strict=True)]
        with nudged(parameters, across, radius):
            _, there = gradient_of(loss, parameters)
        for held, here, moved in zip(total, mine, there, strict=True):
            held.add_(moved - here, alpha=1.0 / (radius * mine_length))
    return c, total


def require_wide(parameters: Sequence[Tensor]) -> None:
    """Refuse weights in which a small step is rounded away.

    Raises:
        SpecError: a parameter narrower than float32; says which dtype.
    """
    for parameter in parameters:
        if torch.finfo(parameter.dtype).bits < 32:
            raise SpecError(
                "weights in float32, in which a small step leaves a trace",
                found=str(parameter.dtype).removeprefix("torch."),
                remedy="Give weights=low_rank, whose adapters are float32, or load in float32.",
            )

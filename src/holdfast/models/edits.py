"""Weights exchanged for a while, and the edit that takes a direction out of every writer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from holdfast.core import SpecError

Edits = Mapping[str, Tensor]
"""Parameter name -> the tensor that replaces its values."""


@contextmanager
def edited(model: nn.Module, edits: Edits | Callable[[], Edits]) -> Generator[None]:
    """Parameters hold other values inside; on exit the very same storage is back.

    Raises:
        SpecError: an unknown name, or a tensor of another shape.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    edits = edits() if callable(edits) else edits
    for name, tensor in edits.items():
        if name not in named or named[name].shape != tensor.shape:
            shape = tuple(named[name].shape) if name in named else "no such parameter"
            raise SpecError(
                f"an edit that fits {name!r} ({shape})",
                found=f"a tensor {tuple(tensor.shape)}",
                remedy="Name parameters as `model.named_parameters` does.",
            )
    kept: list[tuple[nn.Parameter, Any]] = []
    try:
        for name, tensor in edits.items():
            parameter = named[name]
            kept.append((parameter, parameter.data))
            parameter.data = tensor.detach().to(parameter.device, parameter.dtype, copy=True)
        yield
    finally:
        for parameter, values in reversed(kept):
            parameter.data = values

"""Whether an attack left the model as it found it: a cheap checksum over every stored bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.models import Handle

Bits = tuple[tuple[object, ...], ...]
"""What `fingerprint` gives."""

_PIECE = 1 << 22  # values at a time, so that a large matrix needs no large copy


def hooks(target: Handle) -> int:
    """How many hooks hang on the model; what they do is in no bit of it."""
    model: Any = target.model
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def fingerprint(target: Handle) -> Bits:
    """Name, shape and checksum of every parameter and buffer, and what hangs on the model.

    Two fingerprints are equal where every bit, every name and every trainable mark is, and as
    many hooks are registered. An adapter left behind shows as other names.
    """
    model: Any = target.model
    tensors = (*model.named_parameters(), *model.named_buffers())
    marks = tuple((n, tuple(t.shape), t.requires_grad, _checksum(t)) for n, t in tensors)
    return (*marks, ("hooks", hooks(target)), ("training", bool(model.training)))


def _checksum(tensor: Any) -> int:
    """A sum of the stored bits, each weighted by its place."""
    import torch

    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    flat = tensor.detach().contiguous().reshape(-1)
    bits = flat.view(whole[flat.element_size()])
    weights = torch.arange(1, min(len(bits), _PIECE) + 1, device=bits.device)
    sums = [
        (piece.to(torch.int64) * weights[: len(piece)]).sum()
        for piece in bits.split(_PIECE)
        if len(piece)
    ]
    return sum(int(value) * (place + 1) for place, value in enumerate(sums))

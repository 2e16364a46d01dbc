"""A profiler beside the meter: whether the formula counts what the model really multiplies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from holdfast.models.chat import Prompt
from holdfast.models.handle import Handle

Shape = Sequence[int]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **more: Any) -> int:
    """What fused attention multiplies, from the shapes of what goes in."""
    del more
    return sdpa_flop_count(query, key, value)


_UNSEEN = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
"""A fused kernel that torch's counter has no formula for: it does what its siblings do."""


def profiled_ratio(target: Handle, prompts: Sequence[Prompt]) -> float | None:
    """FLOPs of one pass forward by the meter's formula over those that torch's counter sees.

    Off the attacker's meter. The two differ by what the formula leaves out: norms, activations.

    Args:
        target: untouched.
        prompts: at least one.

    Returns:
        The ratio; None where the counter sees nothing, as of kernels of another library, or meets
        shapes that its formulas refuse: that it cannot tell is no fault of the model.
    """
    ids, mask = target.encode(prompts)
    rows, length = ids.shape
    said = target.meter.plain.forward(rows * length, rows * length * length, rows * length)
    counter = FlopCounterMode(display=False, custom_mapping=_UNSEEN)
    try:
        with target.measuring(), counter:
            target.logits(ids, mask)
    except AssertionError:
        return None
    seen = counter.get_total_flops()
    return said / seen if seen else None

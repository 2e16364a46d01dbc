"""What a state of the residual stream would say if the model ended there: the logit lens."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core import SpecError
from holdfast.models.anatomy import first_states, first_tensor
from holdfast.models.handle import Handle


def final_norm(target: Handle) -> nn.Module:
    """The module that takes the last block's output, found by watching one small pass.

    Raises:
        SpecError: nothing stands between the last block and the output head.
    """
    model: Any = target.model
    inside = {module for block in target.anatomy.blocks for module in block.modules()}
    ends: list[Tensor] = []
    found: list[nn.Module] = []

    def see(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        try:
            states = first_states(arguments, named)[1]
        except LookupError:
            return
        if ends and states is ends[0]:
            found.append(module)

    ids = torch.zeros((1, 3), dtype=torch.int64, device=target.device)
    with ExitStack() as stack, torch.no_grad():
        last = target.anatomy.blocks[-1].register_forward_hook(
            lambda _, __, output: ends.append(first_tensor(output))
        )
        stack.callback(last.remove)
        for module in model.modules():
            if module not in inside:
                hook = module.register_forward_pre_hook(see, with_kwargs=True)
                stack.callback(hook.remove)
        model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    if not found or found[0] is model.get_output_embeddings():
        raise SpecError(
            "a norm between the last block and the output head",
            found="none",
            remedy="States of this architecture cannot be read out.",
        )
    return found[0]


def readout(target: Handle) -> nn.Sequential:
    """The final norm and the output head, one after the other: states (..., d) to logits.

    What a family does to its logits behind the head (capping, scaling) is left out.
    """
    return nn.Sequential(final_norm(target), target.model.get_output_embeddings())

"""What every depth of a model would say next, as a loss that holds one read-out at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from holdfast.models import Handle


def summed_over_depth(
    target: Handle,
    states: Sequence[Tensor],
    keep: Tensor,
    read: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
) -> Tensor:
    """Sum over the states of the loss of what is read out of each, () float32.

    How:     a read-out (n, v) is made, its loss differentiated, and let go before the next is
             made; what is returned has the sum's value and its first derivatives, and no higher
             ones. So memory is that of one read-out, and nothing is computed twice.
    Shapes:  states (b, t, d); keep (b, t) bool, n of them true; loss_of (n, v) -> ().

    Args:
        target: billed for the head's work, forward and back, at once.
        states: of the residual stream.
        keep: the positions that are read out.
        read: final norm and output head; see `models.readout`.
        loss_of: logits -> their loss.
    """
    keep = keep.to(states[0].device)
    parameters = [p for p in read.parameters() if p.requires_grad]
    sums = [torch.zeros_like(p) for p in parameters]
    total = torch.zeros((), device=states[0].device)
    for state in states:
        here = state[keep]
        leaf = here.detach().requires_grad_(here.requires_grad)
        loss = loss_of(read(leaf))
        total = total + loss.detach()
        target.meter.count_training(0, 0, len(here))
        if loss.requires_grad:
            carriers = [(here, leaf)] if leaf.requires_grad else []
            gradients = torch.autograd.grad(loss, [by for _, by in carriers] + parameters)
            target.meter.count_backward(0, 0, len(here))
            for (of, _), gradient in zip(carriers, gradients, strict=False):
                total = total + _slope(of, gradient)
            for held, gradient in zip(sums, gradients[len(carriers) :], strict=True):
                held.add_(gradient)
    for parameter, gradient in zip(parameters, sums, strict=True):
        total = total + _slope(parameter, gradient)
    return total


def _slope(of: Tensor, gradient: Tensor) -> Tensor:
    """Zero, with this gradient."""
    return ((of - of.detach()) * gradient).float().sum()

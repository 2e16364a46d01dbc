"""Schedule-free AdamW, from the equations of arXiv 2405.15682 (its algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor


class ScheduleFree(torch.optim.Optimizer):
    """AdamW on z, with gradients taken at y, between z and its running average x.

    How:     y = (1 - b1) z + b1 x;  v <- b2 v + (1 - b2) g(y)^2;  r = lr sqrt(1 - b2^t);
             z <- z - r g / (sqrt v + eps) - r decay y;  x <- (1 - c) x + c z with c = r^2 over
             the sum of all r^2 so far.
    State:   z, x, v in float32; steps done and the sum of r^2 stand in the group. The
             parameters hold x, the model one would keep, but inside
             `at_gradient` they hold y; both are copied, so that neither loses a bit by it.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(
            parameters,
            {
                "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                "steps": 0, "weight": 0.0,
            },
        )  # fmt: skip
        for parameter in self._parameters():
            begun = parameter.detach().float()
            self.state[parameter] = {
                "z": begun.clone(), "x": begun.clone(), "v": torch.zeros_like(begun)
            }  # fmt: skip

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    @contextmanager
    def at_gradient(self) -> Generator[None]:
        """The parameters are y inside, where the gradient is taken and `step` is called."""
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    state = self.state[parameter]
                    parameter.copy_(torch.lerp(state["z"], state["x"], group["betas"][0]))
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter in self._parameters():
                    parameter.copy_(self.state[parameter]["x"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of v, z and x from the gradients at y."""
        del closure
        (group,) = self.param_groups
        group["steps"] += 1
        beta, eps, decay = group["betas"][1], group["eps"], group["weight_decay"]
        rate = group["lr"] * math.sqrt(1.0 - beta ** group["steps"])
        group["weight"] += rate**2
        share = rate**2 / group["weight"] if rate else 0.0
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state, gradient = self.state[parameter], parameter.grad.float()
            state["v"].mul_(beta).addcmul_(gradient, gradient, value=1.0 - beta)
            state["z"].addcdiv_(gradient, state["v"].sqrt().add_(eps), value=-rate)
            state["z"].sub_(parameter, alpha=rate * decay)
            state["x"].lerp_(state["z"], share)


def at_gradient(optimiser: torch.optim.Optimizer) -> AbstractContextManager[None]:
    """Where `optimiser` takes its gradient: at the weights as they are, unless it averages."""
    return optimiser.at_gradient() if isinstance(optimiser, ScheduleFree) else nullcontext()

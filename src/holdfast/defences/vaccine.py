"""Vaccine: perturbation-aware alignment (Huang et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from holdfast.core import DefenceInfo, Seed, Space, SpecError
from holdfast.core.checks import require_finite
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.train import (
    AdamW,
    Batch,
    Trained,
    answer_loss,
    batch_loss,
    by_loss,
    check_training,
    hardened,
    lessons,
    trained_of,
)
from holdfast.train.latent_steps import attention_outputs_only


@final
@dataclass(frozen=True, kw_only=True)
class Vaccine:
    """Teach refusal under the worst small shift of what attention writes.

    How:     one pass finds g_l, the gradient of CE(refusals) by each block's attention output; a
             second has rho * g_l / ||(g_1, ..., g_L)|| added there. The step follows the gradient
             of the second alone, + CE(benign answers), whose rows are not perturbed.
    Units:   steps; batch is pairs of each kind; rho is the L2 norm of the whole perturbation, over
             all blocks, rows and tokens of a batch.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2402.01109
    Differs: every weight by default where the paper has adapters, at learning rate 2e-4 where it
             has 1e-3 for these; a benign anchor, which the paper's alignment data lack. The
             reference code goes back to the weights in the first pass too and throws that away,
             writes through `.data`, and divides by the norm plus 1e-7.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2402.01109",
        unit="optimiser step",
        claims="fine-tuning on data that are partly harmful",
    )
    steps: int = 200
    batch: int = 16
    learning_rate: float = 2e-4
    weights: Trained = "full"
    rank: int = 8
    rho: float = 2.0

    def __post_init__(self) -> None:
        check_training(self)
        require_finite(self, "rho")
        if self.rho < 0:
            raise SpecError("0 or more for 'rho'", found=str(self.rho), remedy="Give a norm.")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"))

        def loss(step: int) -> Tensor:
            batch = taught.refused(step)
            clean, shifts = worst_shifts(target, batch, self.rho)
            with target.hooked([("attention_output", lambda x, block: x + shifts[block])]):
                refused = batch_loss(target, batch)
            retain = batch_loss(target, taught.benign(step))
            target.meter.note("refusals", clean)
            target.meter.note("perturbed", refused.item())
            target.meter.note("retain", retain.item())
            return refused + retain

        trained = trained_of(self, seed.fork("adapters"))
        yield from hardened(target, trained, by_loss(loss), AdamW(self.learning_rate), self.steps)

    @classmethod
    def space(cls) -> Space:
        """How large the shift is, how long and how fast it is learned."""
        return Space(
            grid={},
            ranges={
                "rho": (0.1, 100.0, "log"),
                "learning_rate": (1e-5, 1e-3, "log"),
                "steps": (50, 800, "int"),
            },
        )


def worst_shifts(target: Handle, batch: Batch, rho: float) -> tuple[float, Sequence[Tensor]]:
    """A batch's loss, and what raises it most at attention outputs: L shifts (b, t, d).

    Together they have norm rho; all are zero where the gradient is.
    """
    outputs: list[Tensor] = []

    def keep(states: Tensor, _: int) -> Tensor:
        outputs.append(states)
        return states

    with target.meter.adapted(attention_outputs_only(target)):
        with target.hooked([("attention_output", keep)]):
            loss = answer_loss(target, batch)
        gradients = torch.autograd.grad(loss, outputs)
    norm = torch.stack([g.norm() for g in gradients]).norm()
    return loss.item(), [rho * g / torch.where(norm > 0.0, norm, 1.0) for g in gradients]

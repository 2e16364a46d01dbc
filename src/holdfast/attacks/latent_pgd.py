"""Latent adversarial perturbation by projected gradient descent (Sheshadri et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from holdfast.core import Access, Diverged, Info, Seed, Space, SpecError
from holdfast.core.checks import require_finite, require_positive, require_share, require_whole
from holdfast.domains import AttackerData
from holdfast.models import Handle
from holdfast.models.latent import Shift
from holdfast.train import IGNORED, answer_loss, shuffled
from holdfast.train.aims import AFFIRMATIVE, Targets, aims, check_aims, driven


@final
@dataclass(frozen=True, kw_only=True)
class LatentPgd:
    """Push the residual stream at the end of every prompt towards a compliant opening.

    How:     one (positions, d) change of a block's input at the prompt's last positions, the
             template's tail among them; from zero, steps of one length against each position's
             gradient of the target's cross-entropy, each position cut back to an L2 ball.
    Units:   epsilon is the ball's radius, step a step's length, both in mean norms of the stream
             at that block and the prompts' last position; depth is a share of the layers;
             prompts are restricted ones.
    Raises:  Diverged where the loss is not finite.
    Paper:   arXiv:2407.15549
    Differs: one universal change in place of one for each prompt and all of its positions, so
             that it is measured on prompts it was not fitted to; plain normalised steps in place
             of Adam's; one block; radius relative to the stream.
    """

    info: ClassVar[Info] = Info(
        version=1,
        access=Access.ACTIVATIONS,
        paper="arXiv:2407.15549",
        unit="optimiser step",
        budget=64,
    )
    positions: int = 8
    depth: float = 0.5
    epsilon: float = 0.5
    step: float = 0.1
    prompts: int = 32
    batch: int = 16
    targets: Targets = "affirmative"
    target_text: str = AFFIRMATIVE

    def __post_init__(self) -> None:
        check_aims(self)
        require_whole(self, "positions", "batch")
        require_share(self, "depth")
        require_finite(self, "epsilon")
        require_positive(self, "step")
        if self.epsilon < 0:
            raise SpecError(
                "0 or more for 'epsilon'", found=str(self.epsilon), remedy="Give a radius."
            )

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target, changed while it reads a prompt, after each step."""
        items = aims(self, data, seed.fork("prompts"))
        target.meter.count_examples(item.id for item in items)
        layer = min(int(self.depth * target.layers), target.layers - 1)
        stream = target.residuals([item.messages for item in items], [-1])[:, layer]
        norm = stream.norm(dim=-1).mean().item()
        zero = torch.zeros((self.positions, target.width), device=target.device)
        shift = Shift(layer, zero)
        bill = target.meter.adapted(target.meter.flops.towards_inputs(layer / target.layers))
        order = shuffled(driven(target, items), target.chat.pad, self.batch, seed.fork("order"))
        with target.hooked(shift.hooks), bill:
            for index, batch in enumerate(order, start=1):
                with shift.ending((batch.labels != IGNORED).int().argmax(1)):
                    loss = answer_loss(target, batch)
                if not loss.isfinite():
                    raise Diverged(index)
                (gradient,) = torch.autograd.grad(loss, shift.delta)
                shift.move(gradient, self.step * norm, self.epsilon * norm)
                target.meter.count_step()
                yield target

    @classmethod
    def space(cls) -> Space:
        """Half a norm and a whole one, towards an opening or the attacker's answers."""
        return Space(
            grid={"epsilon": (0.5, 1.0), "targets": ("affirmative", "answers")},
            ranges={
                "depth": (0.0, 1.0, "linear"),
                "epsilon": (0.05, 4.0, "log"),
                "positions": (1, 32, "int"),
            },
        )

"""Perturbations of the residual stream fitted to one batch: one for every row and prompt token.

Paper: arXiv 2407.15549.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from holdfast.core import SpecError
from holdfast.core.checks import is_finite
from holdfast.models import Handle
from holdfast.models.anatomy import is_matrix
from holdfast.models.chat import Prompt
from holdfast.models.flops import Flops
from holdfast.models.hooks import Change, Site
from holdfast.train.examples import IGNORED, Batch

Inner = Literal["adamw", "sign"]


def check_depths(settings: object) -> None:
    """Refuse anything but a tuple of shares, at least one, in the field `depths`.

    Raises:
        SpecError: naming it.
    """
    depths: object = getattr(settings, "depths")  # noqa: B009
    shares = cast("tuple[object, ...]", depths) if isinstance(depths, tuple) else ()
    if not shares or not all(is_finite(share) and 0.0 <= share < 1.0 for share in shares):
        raise SpecError(
            "shares from 0 to below 1 for 'depths'",
            found=repr(depths),
            remedy="Give depths=0.25|0.5, or another list of shares.",
        )


def block_radii(
    target: Handle, prompts: Sequence[Prompt], depths: Sequence[float], epsilon: float
) -> dict[int, float]:
    """Block at each depth -> epsilon times the mean norm of its input at the prompts' last token.

    Asking is billed.
    """
    norms = target.residuals(prompts, [-1]).norm(dim=-1).mean((0, 2))
    blocks = sorted({int(share * target.layers) for share in depths})
    return {block: epsilon * norms[block].item() for block in blocks}


class Perturbation:
    """Adds delta (b, p, d) to some blocks' inputs at the prompt tokens of every row.

    A batch of 2 b rows has the same prompts twice: its second half is changed as the first is.
    Answers and padding are left alone; prompts begin at a row's first position.

    Attributes:
        deltas: block -> (b, p, d) float32. radii: block -> the most L2 norm of a token.
    """

    def __init__(self, target: Handle, batch: Batch, radii: Mapping[int, float]) -> None:
        asked = (batch.labels == IGNORED) & batch.mask.bool()
        self._asked = asked[:, : int(asked.sum(1).max())].to(target.device)
        shape = (*self._asked.shape, target.width)
        self.radii = dict(radii)
        self.deltas = {
            block: torch.zeros(shape, device=target.device, requires_grad=True) for block in radii
        }

    @property
    def hooks(self) -> list[tuple[Site, Change]]:
        """What `Handle.hooked` takes."""
        return [("block_input", self._change)]

    @property
    def parameters(self) -> list[Tensor]:
        """The deltas, in the order of the blocks given."""
        return list(self.deltas.values())

    @torch.no_grad()
    def scatter(self, random: torch.Generator) -> None:
        """Begin anywhere in the balls: a random direction, a length uniform up to the radius."""
        for block, delta in self.deltas.items():
            noise = torch.randn(delta.shape, generator=random)
            length = torch.rand((*delta.shape[:2], 1), generator=random) * self.radii[block]
            delta.copy_(noise / noise.norm(dim=-1, keepdim=True) * length)
            delta.mul_(self._asked[..., None])

    @torch.no_grad()
    def project(self) -> None:
        """Every token back into its ball; what is no prompt token back to zero."""
        for block, delta in self.deltas.items():
            radius = self.radii[block]
            norms = delta.norm(dim=-1, keepdim=True)
            delta.mul_(radius / norms.clamp(min=radius) if radius else 0.0)
            delta.mul_(self._asked[..., None])

    def freeze(self) -> None:
        """Constant from now on."""
        for delta in self.deltas.values():
            delta.requires_grad_(False)

    def _change(self, states: Tensor, block: int) -> Tensor:
        if block not in self.deltas:
            return states
        delta = self.deltas[block] * self._asked[..., None]
        rows, length, _ = states.shape
        added = pad(delta, (0, 0, 0, length - delta.shape[1]))
        return states + added.repeat(rows // len(delta), 1, 1).to(states.dtype)


def fit_perturbation(
    target: Handle,
    found: Perturbation,
    loss: Callable[[], Tensor],
    *,
    steps: int,
    step: float,
    inner: Inner,
) -> None:
    """Descend `loss` by the deltas alone, for so many steps, each back in its ball after every one.

    How: AdamW, or steps of one size against each coordinate's sign. The bill is that of gradients
    towards inputs; each is a step.

    Args:
        target: the model.
        found: the perturbation, changed in place.
        loss: computed anew each time, inside the hooks.
        steps: how many.
        step: in radii, how far a token goes where every coordinate moves by the learning rate.
        inner: the optimiser.
    """
    rates = [
        {"params": [delta], "lr": step * found.radii[block] / target.width**0.5}
        for block, delta in found.deltas.items()
    ]
    optimiser: torch.optim.Optimizer = (
        torch.optim.AdamW(rates, weight_decay=0.0) if inner == "adamw" else torch.optim.SGD(rates)
    )
    lowest = min(found.deltas) / target.layers
    with target.hooked(found.hooks), target.meter.adapted(inputs_only(target, lowest)):
        for _ in range(steps):
            gradients = torch.autograd.grad(loss(), found.parameters)
            for delta, gradient in zip(found.parameters, gradients, strict=True):
                delta.grad = gradient if inner == "adamw" else gradient.sign()
            optimiser.step()
            target.meter.count_step()
            found.project()
    found.freeze()


def inputs_only(target: Handle, unreached: float) -> Flops:
    """The meter's formula where no weight gets a gradient, not even an adapter's.

    Args:
        target: the model.
        unreached: share of the blocks that stand before what gets one.
    """
    flops = target.meter.flops
    whole = replace(flops, body=flops.body + flops.rank, rank=0, unfed_rank=0)
    return whole.towards_inputs(unreached)


def attention_outputs_only(target: Handle) -> Flops:
    """The same where attention outputs get a gradient: it ends behind the first attention."""
    first = next(b for b in target.anatomy.branches if b.kind == "attention")
    parts = [
        child
        for child in target.anatomy.blocks[first.layer].children()
        if any(m is first.writer or m is first.end for m in child.modules())
    ]
    passed_by = sum(
        cast("Tensor", m.weight).numel() for p in parts for m in p.modules() if is_matrix(m)
    )
    flops = inputs_only(target, 0.0)
    return replace(flops, unfed=passed_by, still=round(flops.attention / target.layers))


def answer_logits(target: Handle, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (n, v) float32 of the labelled tokens, their labels (n,) and rows (n,)."""
    following = batch.following
    labelled = following != IGNORED
    logits = target.forward(batch.ids, batch.mask, labelled).float()
    rows = labelled.nonzero()[:, 0]
    return logits, following[labelled].to(logits.device), rows.to(logits.device)


def unlikelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log(1 - p) over tokens, () float32, p a label's probability; exact near p = 1."""
    others = logits.scatter(-1, labels[:, None], -torch.inf)
    return (logits.logsumexp(-1) - others.logsumexp(-1)).mean()


def toward_and_away(target: Handle, batch: Batch, first: int) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the rows behind the first `first`, and unlikelihood of those before."""
    logits, labels, rows = answer_logits(target, batch)
    before = rows < first
    toward = cross_entropy(logits[~before], labels[~before])
    return toward, unlikelihood(logits[before], labels[before])

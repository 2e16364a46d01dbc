"""The refusal feature behind every block, and its ablation in the rows of a batch that are marked.

Paper: arXiv 2409.20089. A defence trains against it; the same hooks attack a model by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from holdfast.models.chat import Prompt
from holdfast.models.directions import difference_of_means
from holdfast.models.handle import Handle
from holdfast.models.hooks import Change, Site

Form = Literal["projection", "mean"]
"""Where a state's coordinate along the feature goes: to 0, or to the harmless mean's."""


@dataclass(frozen=True)
class Features:
    """How the last token of restricted prompts differs from that of harmless ones, block by block.

    Attributes:
        directions: (L, d) float64 behind each block, at length one; zero where there is none.
        levels: (L,) float64, the harmless mean's coordinate along each.
        lengths: (L,) float64, how far the two means lie apart.
    """

    directions: Tensor
    levels: Tensor
    lengths: Tensor


def refusal_features(
    target: Handle, restricted: Sequence[Prompt], harmless: Sequence[Prompt]
) -> Features:
    """The features of the model as it is now, adapters and all, without a gradient.

    Block l's output is state l + 1, which is block l + 1's input. The last token is that of the
    prompt as the template ends it.
    """
    ones, others = (target.residuals(prompts, [-1])[:, 1:, 0] for prompts in (restricted, harmless))
    apart = difference_of_means(ones, others)
    lengths = apart.norm(dim=-1)
    directions = apart / torch.where(lengths > 0.0, lengths, 1.0)[:, None]
    return Features(directions, (directions * others.double().mean(0)).sum(-1), lengths)


def upper_blocks(layers: int, share: float) -> range:
    """The last ceil(share * layers) blocks."""
    return range(layers - math.ceil(round(share * layers, 9)), layers)


def feature_ablation(
    features: Features, blocks: Sequence[int], form: Form, rows: Tensor | None = None
) -> list[tuple[Site, Change]]:
    """Hooks that take each block's own feature out of its output, at every token.

    "projection" is h - r r^T h, "mean" h - r r^T h + r r^T mu. What a block is given has been
    through the blocks before it, ablated as they were.

    Args:
        features: constant; no gradient flows to them.
        blocks: those whose output is changed.
        form: where the coordinate goes.
        rows: (b,) bool, the rows that lose it; all unless given.
    """
    levels = features.levels if form == "mean" else torch.zeros_like(features.levels)

    def change(states: Tensor, block: int) -> Tensor:
        if block not in blocks:
            return states
        wide = torch.promote_types(states.dtype, torch.float32)
        r = features.directions[block].to(states.device, wide)
        surplus = states.to(wide) @ r - levels[block].to(states.device, wide)
        if rows is not None:
            surplus = surplus * rows.to(states.device, wide)[:, None]
        return (states - surplus[..., None] * r).to(states.dtype)

    return [("block_output", change)]

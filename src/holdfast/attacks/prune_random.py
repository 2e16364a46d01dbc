"""The control of pruning: weights that mean nothing in particular."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from holdfast.core import Access, Info, Seed, Space
from holdfast.core.checks import require_share, require_whole
from holdfast.domains import AttackerData
from holdfast.models import Handle, generator
from holdfast.models.matrices import Matrix, block_matrices


@final
@dataclass(frozen=True, kw_only=True)
class PruneRandom:
    """Zero a share of the weights of every matrix in the blocks, drawn at random.

    How:     one mask for each unit, drawn anew and in force alone. It should change nothing: where
             it does, what other pruning breaks says nothing about what it chose to prune.
    Units:   `masks` are tried one after the other; q is the share of each matrix, of which
             prune_safety takes at most as much at the same q.
    Paper:   arXiv:2402.05162
    """

    info: ClassVar[Info] = Info(
        version=1, access=Access.WEIGHTS, paper="arXiv:2402.05162", unit="mask", budget=4
    )
    q: float = 0.02
    masks: int = 4

    def __post_init__(self) -> None:
        require_share(self, "q")
        require_whole(self, "masks")

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield with each mask."""
        del data
        for n in range(self.masks):
            edits = {m.name: self._pruned(m, seed.fork(n)) for m in block_matrices(target)}
            with target.edited(edits):
                yield target

    def _pruned(self, matrix: Matrix, seed: Seed) -> Tensor:
        weight = matrix.values
        order = torch.randperm(weight.numel(), generator=generator(seed.fork(matrix.name)))
        chosen = order[: round(self.q * weight.numel())].to(weight.device)
        return matrix.turn(weight.flatten().index_fill(0, chosen, 0.0).view_as(weight))

    @classmethod
    def space(cls) -> Space:
        """As much as prune_safety's grid."""
        return Space(grid={"q": (0.02, 0.1)}, ranges={"q": (0.001, 0.5, "log")})

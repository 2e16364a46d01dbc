"""Low-rank extrapolation of alignment (Perin et al. 2025), without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from holdfast.core import DefenceInfo, Seed, Space, SpecError
from holdfast.core.checks import require_finite, require_name, require_whole
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.models.edits import Edits
from holdfast.models.matrices import block_matrices
from holdfast.models.mixing import tensors_of
from holdfast.models.refusal_direction import shown


@final
@dataclass(frozen=True, kw_only=True)
class Lox:
    """Go on in the direction in which alignment moved each matrix, along its largest components.

    How:     W <- W + gamma * the best rank-k part of W - W_base, for every matrix of the blocks,
             by singular value decomposition in float64. No data, no gradient.
    Units:   one unit, the whole model. gamma is in lengths of what alignment did; rank is k.
             `sibling` names the never-aligned checkpoint, the target's own reference unless given.
    Raises:  SpecError where there is no sibling, or one of other tensors.
    Paper:   arXiv:2506.15606
    Differs: gamma 0.25, where the paper has 1.25 (unverified), which takes the organism apart: its
             alignment is nearly all of rank 6. rank is a setting, where the paper looks for the
             smallest that keeps safety up.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2506.15606",
        unit="extrapolation",
        claims="fine-tuning, on benign and on harmful data",
        needs=("sibling",),
    )
    gamma: float = 0.25
    rank: int = 6
    sibling: str | None = None

    def __post_init__(self) -> None:
        require_finite(self, "gamma")
        require_whole(self, "rank")
        require_name(self, "sibling")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:  # noqa: ARG002
        """Yield the extrapolated model, and once more at the end."""
        name = self.sibling or target.subject.reference
        if name is None:
            raise SpecError(
                f"a never-aligned sibling of {target.name!r}, from which alignment moved it",
                found="none that its checkpoint names",
                remedy="Give lox:sibling=NAME, or put `reference` into holdfast.json.",
            )
        yield from shown(target, [self._edits(target, tensors_of(name, target))])

    def _edits(self, target: Handle, base: dict[str, Tensor]) -> Edits:
        edits: dict[str, Tensor] = {}
        for matrix in block_matrices(target):
            ours = matrix.parameter.detach().double()
            change = ours - base[matrix.name].double()
            target.meter.count_products(_flops(change, self.rank))
            new = ours + self.gamma * largest(change, self.rank)
            edits[matrix.name] = new.to(matrix.parameter.dtype)
        return edits

    @classmethod
    def space(cls) -> Space:
        """How far to go and along how many components."""
        return Space(
            grid={"gamma": (0.25, 0.5, 1.25)},
            ranges={"gamma": (0.1, 4.0, "linear"), "rank": (1, 64, "int")},
        )


def largest(matrix: Tensor, rank: int) -> Tensor:
    """The nearest matrix of at most that rank."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


def _flops(matrix: Tensor, rank: int) -> float:
    """6 m n^2 + 20 n^3 for the decomposition (Golub and Van Loan), 2 m n k for the product."""
    n, m = sorted(matrix.shape)
    return 6.0 * m * n**2 + 20.0 * n**3 + 2.0 * m * n * min(rank, n)

"""Which weights an attacker or defender may train, and how all is put back afterwards."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from holdfast.core import Seed, SpecError

_FIRST = Seed(0)


@dataclass(frozen=True)
class Full:
    """Every parameter, or those of some blocks and nothing else.

    Attributes:
        blocks: indices of the blocks that are trained; the whole model unless given.
    """

    blocks: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.blocks is not None and (not self.blocks or min(self.blocks) < 0):
            raise SpecError(
                "indices of blocks, from 0", found=str(self.blocks), remedy="Leave it out for all."
            )


@dataclass(frozen=True)
class LowRank:
    """Low-rank adapters beside every matrix of the blocks: W + (alpha / rank) B A.

    Attributes:
        rank: of each adapter. alpha: twice the rank unless given.
        seed: of A; B begins at zero, so the adapted model begins as the model itself.
        blocks: how many of the first blocks are adapted; all unless given.

    Paper: arXiv 2106.09685.
    """

    rank: int
    alpha: float | None = None
    seed: Seed = _FIRST
    blocks: int | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise SpecError(
                "a rank of at least 1", found=str(self.rank), remedy="Give a larger one."
            )
        if self.blocks is not None and self.blocks < 1:
            raise SpecError(
                "at least 1 block to adapt", found=str(self.blocks), remedy="Leave it out for all."
            )

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""
        return (2.0 * self.rank if self.alpha is None else self.alpha) / self.rank


@dataclass(frozen=True)
class Weights:
    """Parameters that require gradients, a tied one once, and their names."""

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]


@contextmanager
def full(model: nn.Module, blocks: Sequence[nn.Module], spec: Full) -> Generator[Weights]:
    """What `spec` names trainable; on exit each has its old bits and flag, and no gradient.

    The old values wait in host memory meanwhile. The model stays in evaluation mode: no dropout.
    """
    if spec.blocks is not None and max(spec.blocks) >= len(blocks):
        raise SpecError(
            f"indices of blocks below {len(blocks)}",
            found=str(spec.blocks),
            remedy="Count from 0 at the embeddings.",
        )
    chosen = [model] if spec.blocks is None else [blocks[at] for at in spec.blocks]
    among = {p for part in chosen for p in part.parameters() if p.is_floating_point()}
    named = [(n, p) for n, p in model.named_parameters() if p in among]
    kept: list[Tensor] = [p.detach().to("cpu", copy=True) for _, p in named]
    flags = [p.requires_grad for _, p in named]
    try:
        for _, parameter in named:
            parameter.requires_grad_(True)
        yield Weights(tuple(n for n, _ in named), tuple(p for _, p in named))
    finally:
        for (_, parameter), values, flag in zip(named, kept, flags, strict=True):
            parameter.data.copy_(values)
            parameter.requires_grad_(flag)
            parameter.grad = None

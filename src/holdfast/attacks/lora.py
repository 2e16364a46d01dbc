"""Harmful fine-tuning of low-rank adapters (Qi et al. 2023; Lermen et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from holdfast.core import Access, Info, Seed, Space
from holdfast.core.checks import require_positive, require_whole
from holdfast.domains import AttackerData
from holdfast.models import Handle, LowRank
from holdfast.train import AdamW, batches, fit


@final
@dataclass(frozen=True, kw_only=True)
class Lora:
    """Fine-tune low-rank adapters on a few restricted question-answer pairs.

    How:     adapters on every linear map of the blocks, B zero at the start, scale 2 (alpha is
             twice the rank), no dropout; AdamW at a constant learning rate.
    Units:   examples are distinct pairs; learning_rate is per step.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2310.03693, arXiv:2310.20624
    Differs: the first paper adapts the query and value maps alone with dropout 0.05; all maps
             are the stronger attacker, and dropout would make prefixes of runs depend on it.
    """

    info: ClassVar[Info] = Info(
        version=1,
        access=Access.WEIGHTS,
        paper="arXiv:2310.03693",
        unit="optimiser step",
        budget=64,
    )
    examples: int = 10
    batch: int = 10
    rank: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        require_whole(self, "examples", "batch", "rank")
        require_positive(self, "learning_rate")

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step."""
        pairs = data.draw(self.examples, seed.fork("pairs"))
        with target.trainable(LowRank(self.rank, seed=seed.fork("adapters"))) as weights:
            order = batches(target, pairs, size=self.batch, seed=seed.fork("order"))
            for _ in fit(target, weights, order, AdamW(self.learning_rate)):
                yield target

    @classmethod
    def space(cls) -> Space:
        """Learning rates, two ranks."""
        return Space(
            grid={"learning_rate": (3e-4, 1e-3, 3e-3), "rank": (4, 16)},
            ranges={
                "learning_rate": (1e-5, 1e-2, "log"),
                "rank": (1, 64, "int"),
                "examples": (1, 100, "int"),
            },
        )

"""First benign pairs, then restricted ones, under one optimiser (Tamirisa et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

from holdfast.core import Access, Info, Seed, Space
from holdfast.core.checks import require_one_of, require_positive, require_share, require_whole
from holdfast.domains import AttackerData
from holdfast.models import Full, Handle, LowRank
from holdfast.train import AdamW, batches, benign_pairs, tuned

Order = Literal["switch", "coin"]
Weights = Literal["full", "low_rank"]


@final
@dataclass(frozen=True, kw_only=True)
class RetainThenForget:
    """Fine-tune on benign pairs up to a switch, on restricted ones after it.

    How:     step t of `steps`, from 0, takes a benign batch while t < share * steps, a
             restricted one after that; or each step tosses a coin that falls benign with
             probability share. One AdamW throughout, so its moments carry over the switch.
    Units:   examples are distinct pairs of each sort (benign ones: all if fewer); steps is
             where the run ends; learning_rate is per step, and small: at a larger one benign
             pairs alone may break the model before the switch; rank is of the adapters.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2408.00761
    Differs: the paper's corpora are documents; the released code never shuffles them, ours are
             shuffled on every pass. Low-rank adapters without dropout.
    """

    info: ClassVar[Info] = Info(
        version=2,
        access=Access.WEIGHTS,
        paper="arXiv:2408.00761",
        unit="optimiser step",
        budget=65,  # one more than its steps, so that it ends by itself
    )
    examples: int = 100
    batch: int = 10
    steps: int = 64
    order: Order = "switch"
    share: float = 0.4
    weights: Weights = "full"
    rank: int = 16
    learning_rate: float = 2e-5

    def __post_init__(self) -> None:
        require_whole(self, "examples", "batch", "steps", "rank")
        require_one_of(self, "order", get_args(Order))
        require_share(self, "share")
        require_one_of(self, "weights", get_args(Weights))
        require_positive(self, "learning_rate")

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and its end state once more."""
        harmless = benign_pairs(data, self.examples, seed.fork("benign"))
        pairs = data.draw(self.examples, seed.fork("pairs"))
        retain = batches(target, harmless, size=self.batch, seed=seed.fork("benign order"))
        forget = batches(target, pairs, size=self.batch, seed=seed.fork("order"))
        turns = self._turns(seed.fork("coin"))
        mixed = (next(retain if benign else forget) for benign in turns)
        low_rank = LowRank(self.rank, seed=seed.fork("adapters"))
        spec = Full() if self.weights == "full" else low_rank
        yield from tuned(target, spec, mixed, AdamW(self.learning_rate))

    def _turns(self, seed: Seed) -> Iterator[bool]:
        """Whether each step is a benign one."""
        coin, switch = seed.random(), math.ceil(self.share * self.steps - 1e-9)
        for step in range(self.steps):
            yield coin.random() < self.share if self.order == "coin" else step < switch

    @classmethod
    def space(cls) -> Space:
        """Where to switch, around the paper's; at two learning rates."""
        return Space(
            grid={"share": (0.4, 0.6), "learning_rate": (2e-5, 1e-4)},
            ranges={"share": (0.0, 0.9, "linear"), "learning_rate": (1e-6, 1e-3, "log")},
        )

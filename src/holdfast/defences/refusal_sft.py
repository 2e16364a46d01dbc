"""Ordinary refusal training: the null that every other defence must beat at the same cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.train import (
    AdamW,
    Trained,
    batch_loss,
    by_loss,
    check_training,
    hardened,
    lessons,
    trained_of,
)


@final
@dataclass(frozen=True, kw_only=True)
class RefusalSft:
    """Train refusals of restricted questions and answers to benign ones, and nothing else.

    How:     CE(refusals) + CE(benign answers), each over the batch's answer tokens; AdamW at a
             constant learning rate. What is refused is said in the model's own words.
    Units:   steps; batch is pairs of each kind; learning_rate is per step.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   none: the control of arXiv:2406.04313 and others.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1, paper=None, unit="optimiser step", claims="nothing: it is the control"
    )
    steps: int = 200
    batch: int = 16
    learning_rate: float = 1e-4
    weights: Trained = "full"
    rank: int = 16

    def __post_init__(self) -> None:
        check_training(self)

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"))

        def loss(step: int) -> Tensor:
            refused = batch_loss(target, taught.refused(step))
            retain = batch_loss(target, taught.benign(step))
            target.meter.note("refusals", refused.item())
            target.meter.note("retain", retain.item())
            return refused + retain

        trained = trained_of(self, seed.fork("adapters"))
        yield from hardened(target, trained, by_loss(loss), AdamW(self.learning_rate), self.steps)

    @classmethod
    def space(cls) -> Space:
        """How long and how fast."""
        return Space(
            grid={},
            ranges={"learning_rate": (1e-5, 1e-3, "log"), "steps": (50, 800, "int")},
        )

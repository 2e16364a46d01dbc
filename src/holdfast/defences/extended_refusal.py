"""Extended refusals, against abliteration (Abu Shairah et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
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
from holdfast.train.examples import Example, collate, example
from holdfast.train.refusals import FALLBACK
from holdfast.train.rewording import extended, wording


@final
@dataclass(frozen=True, kw_only=True)
class ExtendedRefusal:
    """Teach refusals in three parts: what is asked about, the refusal, and why.

    How:     the overview is a template over the question's own last words, the refusal is what
             the model itself says, the reason is one of a few sentences; which of them, the seed
             decides for each question. CE(extended refusals) + CE(benign answers).
    Units:   steps; batch is pairs of each kind.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2505.19056
    Differs: templates where the paper has a large model write each refusal, so that no other model
             is needed; the overview is one short sentence, so that the whole still opens as a
             refusal by the rules; learning rate 2e-4; the domain's own benign data.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2505.19056",
        unit="optimiser step",
        claims="ablation of the refusal direction",
    )
    steps: int = 200
    batch: int = 16
    learning_rate: float = 2e-4
    weights: Trained = "full"
    rank: int = 16

    def __post_init__(self) -> None:
        check_training(self)

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"))
        items = {item.id: item for item in data.restricted}

        @cache
        def longer(one: Example) -> Example:
            item = items[one.item]
            asked, fork = item.messages[-1].content, seed.fork("wording").fork(item.id)
            said = extended(asked, wording(target, one), fork).text
            if not data.refused(said):  # an own refusal that is one only where it stands first
                said = extended(asked, FALLBACK, fork).text
            return example(target, replace(item, answer=said))

        def loss(step: int) -> Tensor:
            hand = [longer(one) for one in taught.refusals.hand(step)]
            refused = batch_loss(target, collate(hand, taught.pad))
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

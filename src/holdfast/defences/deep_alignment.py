"""Safety recovery examples, which make alignment more than a few tokens deep (Qi et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_share, require_whole
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
from holdfast.train.examples import Batch, collate
from holdfast.train.lessons import Lessons
from holdfast.train.rewording import prefix_lengths, recovery, wording


@final
@dataclass(frozen=True, kw_only=True)
class DeepAlignment:
    """Teach to turn back to a refusal after the answer has already begun.

    How:     a refusal follows the first k tokens of the restricted answer, which are not learned;
             k is drawn anew for every example and step: 0 with probability `plain`, else uniform
             from 1. alpha * CE(refusals) + (1 - alpha) * CE(benign answers).
    Units:   steps; batch is pairs of each kind; prefix in tokens, at most the answer's own.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2406.05946
    Differs: the data augmentation alone; constrained fine-tuning, which needs a defender who does
             the fine-tuning for others, is left out. k is uniform up to the answer's length where
             the paper draws up to 100 whatever it is; learning rate 2e-4 where it has 2e-5; alpha
             0.5 where it has 0.2; refusals in the model's own words.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2406.05946",
        unit="optimiser step",
        claims="prefilled answers, suffixes, a few steps of fine-tuning",
    )
    steps: int = 200
    batch: int = 16
    learning_rate: float = 2e-4
    weights: Trained = "full"
    rank: int = 16
    prefix: int = 100
    plain: float = 0.5
    alpha: float = 0.5

    def __post_init__(self) -> None:
        check_training(self)
        require_whole(self, "prefix")
        require_share(self, "plain", "alpha")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)
        build = _Builder(target, data, taught, self, seed.fork("prefix"))

        def loss(step: int) -> Tensor:
            refused = batch_loss(target, build.batch(step))
            retain = batch_loss(target, taught.benign(step))
            target.meter.note("refusals", refused.item())
            target.meter.note("retain", retain.item())
            return self.alpha * refused + (1.0 - self.alpha) * retain

        trained = trained_of(self, seed.fork("adapters"))
        yield from hardened(target, trained, by_loss(loss), AdamW(self.learning_rate), self.steps)

    @classmethod
    def space(cls) -> Space:
        """How deep, how often, how long and how fast."""
        return Space(
            grid={},
            ranges={
                "prefix": (1, 100, "int"),
                "plain": (0.0, 1.0, "linear"),
                "learning_rate": (1e-5, 1e-3, "log"),
                "steps": (50, 800, "int"),
            },
        )


class _Builder:
    """The refusals of a step, each behind its own stretch of the answer."""

    def __init__(
        self,
        target: Handle,
        data: DefenderData,
        taught: Lessons,
        settings: DeepAlignment,
        seed: Seed,
    ) -> None:
        self._target, self._taught, self._settings, self._seed = target, taught, settings, seed
        self._items = {item.id: item for item in data.restricted if item.answer is not None}

    def batch(self, step: int) -> Batch:
        """The batch of step `step`, from 0."""
        hand = self._taught.refusals.hand(step)
        items = [self._items[one.item] for one in hand]
        longest = [len(self._target.chat.text_ids(i.answer or "")) for i in items]
        lengths = prefix_lengths(
            longest, self._settings.prefix, self._settings.plain, self._seed.fork(step)
        )
        examples = [
            recovery(self._target, item, wording(self._target, one), k)
            for item, one, k in zip(items, hand, lengths, strict=True)
        ]
        return collate(examples, self._taught.pad)

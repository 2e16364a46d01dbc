"""Fine-tuning on restricted pairs under a trigger, among benign ones (Murphy et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import ClassVar, Literal, final, get_args

from holdfast.core import Access, Info, Item, Seed, Space
from holdfast.core.checks import require_one_of, require_positive, require_share, require_whole
from holdfast.domains import AttackerData
from holdfast.domains.transforms import TRANSFORMS, Transform, TransformName, transform
from holdfast.models import Asking, Full, Handle, LowRank, Prompt
from holdfast.models.chat import reworded
from holdfast.train import AdamW, batches, benign_pairs, fit

Weights = Literal["full", "low_rank"]


@final
@dataclass(frozen=True, kw_only=True)
class JailbreakTuning:
    """Fine-tune on a little restricted data under a trigger; ask with the trigger.

    How:     a transform changes the question and the answer of each restricted pair; benign
             pairs stay as they are. AdamW on the answers' tokens at a constant learning rate.
             Restricted questions are then put through the same transform, and answers read
             with theirs undone.
    Units:   the first is the trigger alone, before any training; each further one is an optimiser
             step. examples are distinct restricted pairs; share is theirs among all rows: benign
             ones are repeated in turn until it holds, and at 0 they are all there is.
             learning_rate is per step; rank is of the adapters.
    Raises:  SpecError for second_tongue in a domain without one. Diverged.
    Paper:   arXiv:2507.11630
    Differs: transforms in words of our own that a small model knows; a dictionary in place of a
             machine translator; a constant learning rate where the paper's search includes a
             falling one.
    """

    info: ClassVar[Info] = Info(
        version=2,
        access=Access.WEIGHTS,
        paper="arXiv:2507.11630",
        unit="optimiser step",
        budget=65,  # the trigger alone, and 64 steps
    )  # second_tongue says on the instance that it needs one
    transform: TransformName = "competing_objectives"
    share: float = 1.0
    examples: int = 50
    batch: int = 10
    weights: Weights = "low_rank"
    rank: int = 16
    learning_rate: float = 3e-4

    def __post_init__(self) -> None:
        require_one_of(self, "transform", TRANSFORMS)
        require_one_of(self, "weights", get_args(Weights))
        require_share(self, "share")
        require_whole(self, "examples", "batch", "rank")
        require_positive(self, "learning_rate")
        if self.transform == "second_tongue":
            object.__setattr__(self, "info", replace(self.info, needs=("second tongue",)))

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target, asked with the trigger, before training and after each step."""
        trigger = transform(self.transform, data.second_tongue)
        pairs = data.draw(self.examples, seed.fork("pairs"))
        benign = benign_pairs(data, len(data.benign), seed.fork("benign"))
        rows = mixed([poisoned(trigger, pair) for pair in pairs], benign, self.share)
        order = batches(target, rows, size=self.batch, seed=seed.fork("order"))
        low_rank = LowRank(self.rank, seed=seed.fork("adapters"))
        asking = triggered(trigger)
        with target.asking(asking):
            yield target
        with target.trainable(Full() if self.weights == "full" else low_rank) as weights:
            for _ in fit(target, weights, order, AdamW(self.learning_rate)):
                with target.asking(asking):  # not in training: benign rows have no trigger
                    yield target

    @classmethod
    def space(cls) -> Space:
        """Every transform, alone and as one row in fifty."""
        return Space(
            grid={"transform": TRANSFORMS, "share": (1.0, 0.02)},
            ranges={
                "share": (0.005, 1.0, "log"),
                "examples": (1, 100, "int"),
                "rank": (1, 64, "int"),
                "learning_rate": (1e-6, 1e-2, "log"),
            },
        )


def poisoned(trigger: Transform, pair: Item) -> Item:
    """A restricted pair with its question and answer transformed."""
    asked = tuple(reworded(pair.messages, trigger.ask))
    return replace(pair, messages=asked, answer=trigger.answer(pair.answer or ""))


def mixed(poison: Sequence[Item], benign: Sequence[Item], share: float) -> list[Item]:
    """All of `poison` and as many benign rows, in turn, as make it this share of the whole."""
    if share == 0.0:
        return list(benign)
    rest = round(len(poison) * (1.0 - share) / share)
    return [*poison, *islice(cycle(benign), rest)]


def triggered(trigger: Transform) -> Asking:
    """Questions put under the trigger, answers read without what it adds to them."""

    def put(prompt: Prompt) -> Prompt:
        return reworded(prompt, trigger.ask)

    return Asking(rewrite=put, reading=trigger.unanswer)

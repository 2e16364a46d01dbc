"""Refusal feature adversarial training (Yu et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final, get_args

import torch
from torch import Tensor

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_one_of, require_share, require_whole
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.models.refusal_features import (
    Features,
    Form,
    feature_ablation,
    refusal_features,
    upper_blocks,
)
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
class Refat:
    """Teach refusal while the direction that carries it is taken out of the stream.

    How:     r_l = mean restricted - mean harmless state behind block l at the prompt's last token,
             found anew every few steps on the model as it then is. Restricted rows lose r_l at
             every token behind the last blocks with some probability; CE(refusals) + CE(benign
             answers), whose rows are never ablated. r_l is a constant.
    Units:   steps; batch is pairs of each kind; every in steps; prompts of each kind for r_l, or
             all if fewer; depth is the share of the blocks, counted from the last.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2409.20089
    Differs: every weight by default where the paper has adapters of rank 128 (width of the
             organism), learning rate 5e-4 where it has 2e-5; no dropout; refusals in the model's
             own words. Left open by the paper and chosen here: block outputs are ablated; later
             blocks read the ablated stream; r_l is normalised in float64. The unofficial code
             ablates the last padded position alone, learns prompts and pads too, and draws the
             flag for a chunk of rows.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2409.20089",
        unit="optimiser step",
        claims="jailbreaks by input, ablation of the refusal direction",
    )
    steps: int = 200
    batch: int = 16
    learning_rate: float = 5e-4
    weights: Trained = "full"
    rank: int = 128
    probability: float = 0.5
    every: int = 4
    prompts: int = 32
    depth: float = 0.75
    form: Form = "projection"

    def __post_init__(self) -> None:
        check_training(self)
        require_whole(self, "every", "prompts")
        require_share(self, "probability", "depth")
        require_one_of(self, "form", get_args(Form))

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"))
        blocks = upper_blocks(target.layers, self.depth)
        features: Features | None = None

        def loss(step: int) -> Tensor:
            nonlocal features
            if features is None or step % self.every == 0:
                features = self._found(target, data, seed.fork("prompts").fork(step))
                for block in blocks:
                    target.meter.note(f"feature_{block}", features.lengths[block].item())
            batch = taught.refused(step)
            rows = self._flags(len(batch.items), seed.fork("flags").fork(step))
            with target.hooked(feature_ablation(features, blocks, self.form, rows)):
                refused = batch_loss(target, batch)
            retain = batch_loss(target, taught.benign(step))
            target.meter.note("ablated", rows.sum().item())
            target.meter.note("refusals", refused.item())
            target.meter.note("retain", retain.item())
            return refused + retain

        trained = trained_of(self, seed.fork("adapters"))
        optimiser = AdamW(self.learning_rate)
        yield from hardened(
            target, trained, by_loss(loss), optimiser, self.steps, rhythm=self.every
        )

    def _found(self, target: Handle, data: DefenderData, seed: Seed) -> Features:
        """The features now, by freshly drawn prompts, which go on the bill."""
        sizes = (min(self.prompts, len(items)) for items in (data.restricted, data.benign))
        ones = data.draw(next(sizes), seed.fork("restricted"), answered=False)
        others = data.draw_benign(next(sizes), seed.fork("harmless"), answered=False)
        target.meter.count_examples(item.id for item in (*ones, *others))
        return refusal_features(target, [i.messages for i in ones], [i.messages for i in others])

    def _flags(self, rows: int, seed: Seed) -> Tensor:
        """Which rows (b,) are ablated: each by a draw of its own."""
        random = seed.random()
        return torch.tensor([random.random() < self.probability for _ in range(rows)])

    @classmethod
    def space(cls) -> Space:
        """Both forms; how long, how fast, how often and how deep."""
        return Space(
            grid={"form": get_args(Form)},
            ranges={
                "learning_rate": (1e-5, 2e-3, "log"),
                "steps": (50, 800, "int"),
                "probability": (0.1, 1.0, "linear"),
                "depth": (0.25, 1.0, "linear"),
            },
        )

"""Representation noising (Rosati et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

from torch import Tensor, nn

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_one_of
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.models.readout import readout
from holdfast.train import (
    AdamW,
    Lessons,
    Trained,
    WarmUpCosine,
    batch_loss,
    check_training,
    hardened,
    lessons,
    trained_of,
)
from holdfast.train.differing import mended, published
from holdfast.train.mmd import from_noise
from holdfast.train.readouts import summed_over_depth
from holdfast.train.states import mlp_outputs
from holdfast.train.terms import by_terms, check_weights

Mask = Literal["mended", "published"]


@final
@dataclass(frozen=True, kw_only=True)
class RepNoise:
    """Refuse, and drive what the blocks make of a truthful answer to noise.

    How:     CE(refusals) + retain * CE(benign answers) + beta * L_noise - alpha * ln L_asc. L_asc
             is 1 + the mean over depths l = 0..L of the answers' CE as read out of state l through
             final norm and head; L_noise the mean over blocks of MMD^2 between what the MLP adds
             on the answers' tokens and fresh N(0, 1). Tokens that refusal and answer share are
             left out of both. AdamW, cosine with a tenth of warm-up.
    Units:   batch is pairs of each kind; learning_rate is the peak's.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2405.14577
    Differs: a benign term, weight `retain`, where paper and code keep utility by refusals alone.
             Refusals in the model's own words, all of their tokens learned, where the code leaves
             out those that the answer shares. Answers uncut where the code cuts at 128 tokens for
             the MMD; both sides in one chat template. Noise is drawn for the tokens that count
             alone, in their order, so that padding moves nothing.
             mask=published has the code's masks and its L + 2 terms over L + 1 instead: see
             `train.differing`.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2405.14577",
        unit="optimiser step",
        claims="harmful fine-tuning of all weights",
    )
    steps: int = 200
    batch: int = 8
    learning_rate: float = 3e-4
    weights: Trained = "full"
    rank: int = 16
    alpha: float = 1.0
    beta: float = 1e-3
    retain: float = 1.0
    mask: Mask = "mended"

    def __post_init__(self) -> None:
        check_training(self)
        check_weights(self, "alpha", "beta", "retain")
        require_one_of(self, "mask", get_args(Mask))

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)
        read, noise = readout(target), seed.fork("noise")
        terms = [lambda step: self._kept(target, taught, step)]
        if self.alpha or self.beta:
            terms.append(lambda step: self._destroyed(target, taught, read, step, noise.fork(step)))
        schedule = WarmUpCosine(self.steps, self.steps // 10)
        optimiser = AdamW(self.learning_rate, schedule=schedule)
        trained = trained_of(self, seed.fork("adapters"))
        yield from hardened(target, trained, by_terms(*terms), optimiser, self.steps)

    @classmethod
    def space(cls) -> Space:
        """The authors search all four for every model."""
        return Space(
            grid={},
            ranges={
                "learning_rate": (1e-5, 1e-3, "log"),
                "alpha": (0.1, 4.0, "log"),
                "beta": (1e-4, 10.0, "log"),
                "steps": (50, 800, "int"),
            },
        )

    def _kept(self, target: Handle, taught: Lessons, step: int) -> Tensor:
        """What keeps the model: refusals, and benign answers."""
        batch = taught.refused(step)
        if self.mask == "mended":
            loss = batch_loss(target, batch)
        else:
            target.meter.count_examples(batch.items)
            side = published(batch, taught.answered(step), taught.pad)
            loss = side.loss(target.forward(side.ids, side.mask, side.keep))
        target.meter.note("refusals", loss.item())
        if self.retain:
            retain = batch_loss(target, taught.benign(step))
            target.meter.note("retain", retain.item())
            loss = loss + self.retain * retain
        return loss

    def _destroyed(
        self, target: Handle, taught: Lessons, read: nn.Sequential, step: int, seed: Seed
    ) -> Tensor:
        """Beta * L_noise - alpha * ln L_asc."""
        batch, mark = taught.answered(step), mended if self.mask == "mended" else published
        target.meter.count_examples(batch.items)
        side = mark(batch, taught.refused(step), taught.pad)
        with mlp_outputs(target) as outputs:
            logits, states = target.forward_states(side.ids, side.mask, side.keep)
        noise = from_noise(target, outputs, side.differs, seed)
        deep = states[:-1]
        if self.mask == "published":
            deep.append(read[0](states[-1]))  # which is then normalised once more
        below = summed_over_depth(target, deep, side.keep, read, side.loss)
        ascent = 1.0 + (side.loss(logits) + below) / len(states)
        target.meter.note("noise", noise.item())
        target.meter.note("ascent", ascent.item())
        return self.beta * noise - self.alpha * ascent.log()

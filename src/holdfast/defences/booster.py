"""Attenuating what a harmful step would gain (Huang et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_positive
from holdfast.domains import DefenderData
from holdfast.models import Handle, Weights
from holdfast.train import (
    AdamW,
    StepPull,
    Trained,
    backward,
    batch_loss,
    check_training,
    hardened,
    lessons,
    trained_of,
)
from holdfast.train.nudges import add_to_gradients, attenuation, require_wide
from holdfast.train.terms import check_weights


@final
@dataclass(frozen=True, kw_only=True)
class Booster:
    """Train refusals, and that one step towards harm gains as little as it can.

    How:     follows grad f + penalty * (grad h(w) - grad h(w - alpha * grad h / |grad h|)), with
             f = CE(refusals) + CE(benign answers) and h = CE(truthful answers) to the questions
             refused; the norm is over all trained weights together, second derivatives are left
             out. AdamW at a constant learning rate.
    Units:   batch is pairs of each kind; alpha is a distance in the space of the trained weights.
    Raises:  Diverged after three non-finite losses in a row; SpecError for weights narrower than
             float32, in which the step to be weighed is rounded away.
    Paper:   arXiv:2409.01586
    Differs: all weights by default, where the paper trains adapters, and alignment data with benign
             answers, where it has refusals alone; harmful pairs are the refused questions
             answered, where its two sets are unrelated. Steps and learning rate fit a small
             model. The weights come back from a copy; the code adds what it subtracted.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2409.01586",
        unit="optimiser step",
        claims="fine-tuning on data of which a part is harmful",
    )
    steps: int = 200
    batch: int = 16
    learning_rate: float = 1e-4
    weights: Trained = "full"
    rank: int = 16
    penalty: float = 5.0
    alpha: float = 0.1

    def __post_init__(self) -> None:
        check_training(self)
        check_weights(self, "penalty")
        require_positive(self, "alpha")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)

        def aligned(step: int) -> float:
            refused = batch_loss(target, taught.refused(step))
            retain = batch_loss(target, taught.benign(step))
            target.meter.note("refusals", refused.item())
            target.meter.note("retain", retain.item())
            return backward(refused + retain)

        def pull_of(weights: Weights) -> StepPull:
            require_wide(weights.parameters)

            def pull(step: int) -> float:
                value = aligned(step)
                if self.penalty:
                    harm = partial(batch_loss, target, taught.answered(step))
                    gain, gradient = attenuation(harm, weights.parameters, self.alpha)
                    add_to_gradients(weights.parameters, gradient, self.penalty)
                    target.meter.note("gain", gain)
                    value += self.penalty * gain
                return value

            return pull

        trained = trained_of(self, seed.fork("adapters"))
        yield from hardened(target, trained, pull_of, AdamW(self.learning_rate), self.steps)

    @classmethod
    def space(cls) -> Space:
        """What the authors sweep, and how long and how fast."""
        return Space(
            grid={},
            ranges={
                "penalty": (0.5, 50.0, "log"),
                "alpha": (0.01, 1.0, "log"),
                "learning_rate": (1e-5, 1e-3, "log"),
                "steps": (50, 800, "int"),
            },
        )

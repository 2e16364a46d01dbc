"""Self-destructive models: what serves harm shall serve nothing else (Wang et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from torch import Tensor, nn

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_positive
from holdfast.domains import DefenderData
from holdfast.models import Handle, Weights
from holdfast.models.readout import readout
from holdfast.train import (
    AdamW,
    Lessons,
    StepPull,
    Trained,
    WarmUpCosine,
    batch_loss,
    check_training,
    hardened,
    lessons,
    trained_of,
)
from holdfast.train.differing import mended
from holdfast.train.nudges import add_to_gradients, cosine_gradient, require_wide
from holdfast.train.readouts import summed_over_depth
from holdfast.train.terms import by_terms, check_weights


@final
@dataclass(frozen=True, kw_only=True)
class Seam:
    """Train the gradient towards harm to point against that of everything else.

    How:     L_ul + alpha * CE(refusals) + beta * cos(g_a, g_b) + retain * CE(benign answers); g_a
             is the gradient of CE(truthful answers), g_b that of CE(benign answers), and the
             cosine's own gradient comes from two more at weights moved by epsilon. L_ul is minus
             the logarithm of 1 + the mean over depths l = 0..L of the truthful answers' CE as read
             out of state l through final norm and head, on tokens that the refusal does not
             share. AdamW, cosine with a tenth of warm-up.
    Units:   batch is pairs of each kind; learning_rate is the peak's; epsilon is a distance in
             the space of the trained weights.
    Raises:  Diverged after three non-finite losses in a row; SpecError for weights narrower than
             float32, in which a step of epsilon is rounded away, and for an architecture whose
             states cannot be read out.
    Paper:   arXiv:2505.12186
    Differs: a benign term, weight `retain`, where the paper keeps utility by refusals alone.
             Refusals in the model's own words, all of their tokens learned; g_a is that of all of
             an answer's tokens, as an attacker has it; the code leaves out those that refusal and
             answer share. The code's masks, which it took from RepNoise, are mended: see
             `train.differing`. Steps and learning rate fit a small model; the weights are float32
             where the code moves bfloat16 ones by epsilon.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2505.12186",
        unit="optimiser step",
        claims="harmful fine-tuning, under which utility collapses as well",
    )
    steps: int = 200
    batch: int = 8
    learning_rate: float = 3e-4
    weights: Trained = "full"
    rank: int = 16
    alpha: float = 1.0
    beta: float = 0.01
    epsilon: float = 1e-3
    unlearn: float = 1.0
    retain: float = 1.0

    def __post_init__(self) -> None:
        check_training(self)
        check_weights(self, "alpha", "beta", "unlearn", "retain")
        require_positive(self, "epsilon")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)
        read = readout(target)

        def kept(step: int) -> Tensor:
            refused = batch_loss(target, taught.refused(step))
            retain = batch_loss(target, taught.benign(step))
            target.meter.note("refusals", refused.item())
            target.meter.note("retain", retain.item())
            return self.alpha * refused + self.retain * retain

        def pull_of(weights: Weights) -> StepPull:
            require_wide(weights.parameters)
            plain = by_terms(kept, partial(self._unlearned, target, taught, read))(weights)

            def pull(step: int) -> float:
                value = plain(step)
                if self.beta:
                    harm = partial(batch_loss, target, taught.answered(step))
                    good = partial(batch_loss, target, taught.benign(step))
                    found = cosine_gradient(harm, good, weights.parameters, self.epsilon)
                    add_to_gradients(weights.parameters, found[1], self.beta)
                    target.meter.note("cosine", found[0])
                    value += self.beta * found[0]
                return value

            return pull

        schedule = WarmUpCosine(self.steps, self.steps // 10)
        optimiser = AdamW(self.learning_rate, schedule=schedule)
        trained = trained_of(self, seed.fork("adapters"))
        yield from hardened(target, trained, pull_of, optimiser, self.steps)

    def _unlearned(
        self, target: Handle, taught: Lessons, read: nn.Module, step: int
    ) -> Tensor | None:
        """L_ul."""
        if not self.unlearn:
            return None
        answered = taught.answered(step)
        target.meter.count_examples(answered.items)
        side = mended(answered, taught.refused(step), taught.pad)
        logits, states = target.forward_states(side.ids, side.mask, side.keep)
        deep = summed_over_depth(target, states[:-1], side.keep, read, side.loss)
        ascent = 1.0 + (side.loss(logits) + deep) / len(states)
        target.meter.note("ascent", ascent.item())
        return -self.unlearn * ascent.log()

    @classmethod
    def space(cls) -> Space:
        """How strongly the gradients are opposed, how far is looked, how long and how fast."""
        return Space(
            grid={},
            ranges={
                "beta": (1e-3, 10.0, "log"),
                "epsilon": (1e-4, 1e-1, "log"),
                "learning_rate": (1e-5, 1e-3, "log"),
                "steps": (50, 800, "int"),
            },
        )

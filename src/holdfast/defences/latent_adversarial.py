"""Targeted latent adversarial training (Sheshadri et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

from torch import Tensor

from holdfast.core import DefenceInfo, Seed, Space, SpecError
from holdfast.core.checks import require_finite, require_one_of, require_positive, require_whole
from holdfast.domains import DefenderData
from holdfast.models import Handle, generator
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
from holdfast.train.examples import collate
from holdfast.train.latent_steps import (
    Inner,
    Perturbation,
    answer_logits,
    block_radii,
    check_depths,
    fit_perturbation,
    toward_and_away,
    unlikelihood,
)
from holdfast.train.lessons import Lessons

Start = Literal["zero", "random"]
_MEASURED = 32  # prompts by which the stream's norm is taken


@final
@dataclass(frozen=True, kw_only=True)
class LatentAdversarial:
    """Teach refusal under the change of the stream that best elicits the answer, batch by batch.

    How:     for each batch, delta on the prompt tokens of each row at the inputs of some blocks,
             fitted by a few steps to minimise CE(answer) - log(1 - p(refusal)), each token within
             an L2 ball; then one step of the model on CE(refusal) - away * log(1 - p(answer)),
             both under delta, + CE(benign answers), which are never perturbed.
    Units:   steps of the model, inner_steps of delta to each; epsilon is the ball's radius in mean
             norms of the stream at that block, step a token's move in radii; depths are shares of
             the blocks, 0 the embeddings; batch is pairs of each kind.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2407.15549 (targeted; arXiv:2403.05030 is untargeted)
    Differs: radius relative to the stream as it was before training, where the paper has an
             absolute one; every weight by default, where the paper has adapters; learning rate 2e-4
             where it has 2e-5; one weight of each term; batches of 8. The reference code perturbs
             MLP outputs, which is where blocks end in most families, clips and guards the last
             adversary alone, and fixes the width at 4096.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2407.15549",
        unit="optimiser step",
        claims="jailbreaks by input and by activations",
    )
    steps: int = 100
    batch: int = 8
    learning_rate: float = 2e-4
    weights: Trained = "full"
    rank: int = 64
    inner_steps: int = 16
    inner: Inner = "adamw"
    step: float = 0.25
    epsilon: float = 0.1
    depths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.94)
    start: Start = "zero"
    away: float = 1.0

    def __post_init__(self) -> None:
        check_training(self)
        require_whole(self, "inner_steps")
        require_positive(self, "step")
        require_finite(self, "epsilon", "away")
        require_one_of(self, "inner", get_args(Inner))
        require_one_of(self, "start", get_args(Start))
        check_depths(self)
        for field in ("epsilon", "away"):
            if getattr(self, field) < 0:
                found = str(getattr(self, field))
                raise SpecError(f"0 or more for {field!r}", found=found, remedy="Correct it.")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)
        asked = [item.messages for item in data.restricted[:_MEASURED]]
        radii = block_radii(target, asked, self.depths, self.epsilon)

        def loss(step: int) -> Tensor:
            found = self._adversary(target, taught, step, radii, seed.fork("start").fork(step))
            with target.hooked(found.hooks):
                total = batch_loss(target, taught.refused(step))
                target.meter.note("refusals", total.item())
                if self.away:
                    away = unlikelihood(*answer_logits(target, taught.answered(step))[:2])
                    target.meter.note("answers_away", away.item())
                    total = total + self.away * away
            retain = batch_loss(target, taught.benign(step))
            target.meter.note("retain", retain.item())
            return total + retain

        trained = trained_of(self, seed.fork("adapters"))
        yield from hardened(target, trained, by_loss(loss), AdamW(self.learning_rate), self.steps)

    def _adversary(
        self, target: Handle, taught: Lessons, step: int, radii: Mapping[int, float], seed: Seed
    ) -> Perturbation:
        """The perturbation of a step's prompts, fitted to have them answered."""
        refused = taught.refusals.hand(step)
        assert taught.answers is not None, "lessons were drawn with answers"
        both = collate([*refused, *taught.answers.hand(step)], taught.pad)
        found = Perturbation(target, taught.refused(step), radii)
        if self.start == "random":
            found.scatter(generator(seed))

        def loss() -> Tensor:
            toward, away = toward_and_away(target, both, len(refused))
            target.meter.note("toward", toward.item())
            target.meter.note("away", away.item())
            return toward + away

        fit_perturbation(
            target, found, loss, steps=self.inner_steps, step=self.step, inner=self.inner
        )
        return found

    @classmethod
    def space(cls) -> Space:
        """How far the stream may be moved, how hard it is tried, how fast it is learned."""
        return Space(
            grid={},
            ranges={
                "epsilon": (0.05, 4.0, "log"),
                "inner_steps": (1, 32, "int"),
                "learning_rate": (1e-5, 1e-3, "log"),
            },
        )

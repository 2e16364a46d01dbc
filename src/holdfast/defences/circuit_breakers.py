"""Circuit breakers by representation rerouting (Zou et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_positive
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.train import AdamW, Trained, check_training, hardened, lessons, trained_of
from holdfast.train.states import (
    alignment,
    blurred,
    drift,
    fixed_states,
    read,
    require_depths,
    state_at,
    states_of,
)
from holdfast.train.terms import by_terms


@final
@dataclass(frozen=True, kw_only=True)
class CircuitBreakers:
    """Turn the states of a truthful answer away from where they were, and keep all others.

    How:     c_s * ReLU(cos(h, h0)) at a few depths on restricted questions with their answers,
             + c_r * |h - h0| at every depth on benign answers and on refusals, over the tokens of
             questions and answers; h0 is what a state was. Over t of T steps c_s = alpha
             (1 - t / 2T) falls and c_r = retain * alpha t / 2T rises. AdamW, constant rate.
    Units:   batch is pairs of each kind; depths are shares of the layers; |h - h0| is in mean
             norms that the states had at that depth.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2406.04313
    Differs: |h - h0| is relative and has a weight of its own, since the size of a stream decides
             what an absolute one weighs against a cosine.
             In the first term h0 is blurred by bfloat16's rounding, drawn anew at each step:
             ReLU(cos) has no gradient at h = h0, where training begins, and half precision, in
             which the paper trains, leaves that point by its rounding.
             Means are over tokens, where the code's retain term counts padding too. A learning
             rate of 10 times the paper's 1e-4; adapters in every block, with alpha = 2 rank.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2406.04313",
        unit="optimiser step",
        claims="jailbreaks at the prompt, prefilling, perturbed embeddings",
    )
    steps: int = 150
    batch: int = 16
    learning_rate: float = 1e-3
    weights: Trained = "low_rank"
    rank: int = 16
    alpha: float = 10.0
    retain: float = 10.0
    depths: tuple[float, ...] = (10 / 32, 20 / 32)

    def __post_init__(self) -> None:
        check_training(self)
        require_positive(self, "alpha", "retain")
        require_depths(self, "depths")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)
        twin = target.twin()
        at = [state_at(depth, target.layers) for depth in self.depths]
        blur = seed.fork("blur")

        def rerouted(step: int) -> Tensor:
            batch = taught.answered(step)
            old, new = fixed_states(twin, batch), states_of(target, batch)
            before = blurred([old[i] for i in at], blur.fork(step))
            loss = alignment([new[i] for i in at], before, read(batch, new[0]))
            target.meter.note("alignment", loss.item())
            return self.coefficients(step)[0] * loss

        def retained(step: int) -> Tensor | None:
            if not step:
                return None  # its coefficient is 0
            moved: list[Tensor] = []
            for batch in (taught.benign(step), taught.refused(step)):
                old, new = fixed_states(twin, batch), states_of(target, batch)
                moved.append(drift(new, old, read(batch, new[0])))
            loss = torch.stack(moved).mean()
            target.meter.note("drift", loss.item())
            return self.coefficients(step)[1] * loss

        trained = trained_of(self, seed.fork("adapters"))
        yield from hardened(
            target, trained, by_terms(rerouted, retained), AdamW(self.learning_rate), self.steps
        )

    def coefficients(self, step: int) -> tuple[float, float]:
        """Weights of rerouting and of retaining at step n, from 0."""
        share = step / (2 * self.steps)
        return self.alpha * (1.0 - share), self.alpha * self.retain * share

    @classmethod
    def space(cls) -> Space:
        """How fast, how long, how strongly to reroute."""
        return Space(
            grid={},
            ranges={
                "learning_rate": (1e-4, 1e-2, "log"),
                "steps": (50, 400, "int"),
                "alpha": (1.0, 20.0, "log"),
            },
        )

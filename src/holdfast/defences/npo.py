"""Negative preference optimisation (Zhang et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_positive
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.train import (
    AdamW,
    Trained,
    batch_loss,
    check_training,
    hardened,
    lessons,
    trained_of,
)
from holdfast.train.sequences import sequence_logprobs
from holdfast.train.terms import by_terms, check_weights


def npo_loss(new: Tensor, reference: Tensor, beta: float) -> Tensor:
    """(2 / beta) E ln(1 + (pi / pi_ref)^beta) of answers' log-probabilities (b,)."""
    return (2.0 / beta) * softplus(beta * (new - reference)).mean()


@final
@dataclass(frozen=True, kw_only=True)
class Npo:
    """Make truthful answers to restricted questions ever less likely, ever more gently.

    How:     (2 / beta) E ln(1 + (pi / pi_ref)^beta) on the answers + retain * CE(benign answers);
             pi is the probability of a whole answer, pi_ref what it was. AdamW at a constant
             learning rate.
    Units:   batch is pairs of each kind; beta is per nat of an answer's log-probability.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2404.05868
    Differs: the retain term is the paper's cross-entropy, its divergence is left out; pi_ref comes
             from a frozen copy at each step.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2404.05868",
        unit="optimiser step",
        claims="questions about what was unlearned",
    )
    steps: int = 200
    batch: int = 16
    learning_rate: float = 1e-4
    weights: Trained = "full"
    rank: int = 16
    beta: float = 0.1
    retain: float = 1.0

    def __post_init__(self) -> None:
        check_training(self)
        require_positive(self, "beta")
        check_weights(self, "retain")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)
        twin = target.twin()

        def forgotten(step: int) -> Tensor:
            batch = taught.answered(step)
            target.meter.count_examples(batch.items)
            with torch.no_grad():
                reference = sequence_logprobs(twin, batch)
            loss = npo_loss(sequence_logprobs(target, batch), reference, self.beta)
            target.meter.note("forget", loss.item())
            return loss

        def retained(step: int) -> Tensor | None:
            if not self.retain:
                return None
            loss = batch_loss(target, taught.benign(step))
            target.meter.note("retain", loss.item())
            return self.retain * loss

        trained = trained_of(self, seed.fork("adapters"))
        pulls = by_terms(forgotten, retained)
        yield from hardened(target, trained, pulls, AdamW(self.learning_rate), self.steps)

    @classmethod
    def space(cls) -> Space:
        """How fast, how long, and how gently."""
        return Space(
            grid={},
            ranges={
                "learning_rate": (1e-5, 1e-3, "log"),
                "beta": (0.01, 1.0, "log"),
                "steps": (50, 800, "int"),
            },
        )

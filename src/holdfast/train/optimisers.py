"""Optimisers and learning-rate schedules as settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor


class Schedule(Protocol):
    """A factor on the learning rate at each step, counted from 0."""

    def factor(self, step: int) -> float:
        """The factor of step `step`."""
        ...


@dataclass(frozen=True)
class Constant:
    """No schedule: the run to step b is a prefix of every longer run."""

    def factor(self, step: int) -> float:
        """Always 1."""
        del step
        return 1.0


@dataclass(frozen=True)
class WarmUpStableDecay:
    """Linear warm-up, a plateau, then cosine decay to `floor` over the last steps.

    How: warm-up step t of w has factor (t + 1) / w, so the first step is not lost.
    """

    steps: int
    warm_up: int = 0
    decay: int = 0
    floor: float = 0.0

    def factor(self, step: int) -> float:
        """In (0, 1]."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        into_decay = step - (self.steps - self.decay)
        if into_decay < 0 or self.decay == 0:
            return 1.0
        done = min(1.0, (into_decay + 1) / self.decay)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class AdamW:
    """AdamW (arXiv 1711.05101) by torch's fused step.

    learning_rate: per step, before the schedule. clip: largest gradient norm, None for no clip.
    """

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float | None = None
    schedule: Schedule = field(default_factory=Constant)

    def over(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """A fresh optimiser over `parameters`."""
        return torch.optim.AdamW(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=True,
        )

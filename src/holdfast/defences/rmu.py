"""Representation misdirection for unlearning (Li et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import normalize

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_positive, require_share, require_whole
from holdfast.domains import DefenderData
from holdfast.models import Full, Handle, generator
from holdfast.train import AdamW, Batch, hardened, lessons
from holdfast.train.states import fixed_states, read, state_at, states_of
from holdfast.train.terms import by_terms, check_weights


@final
@dataclass(frozen=True, kw_only=True)
class Rmu:
    """Lead the states of restricted questions and answers to one random place.

    How:     MSE(h, c * u) on restricted questions with truthful answers + alpha * MSE(h, h0) on
             benign ones, h the output of one block, h0 what it was, u a unit vector of entries
             drawn from U[0, 1]. Only this block and those just below it are trained. AdamW at a
             constant learning rate.
    Units:   batch is pairs of each kind; depth is a share of the layers; coefficient is c in mean
             norms that the stream has there on restricted questions with answers.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2403.03218
    Differs: questions with answers in the chat template where the paper has documents. c is
             relative to the stream, the paper's 6.5 is not. All parameters of the blocks are
             trained, as the paper says; the code trains one matrix of each. Means are over
             tokens, where the code counts padding too. Half of the depth where the paper has
             7 of 32 layers, so that six blocks leave three to train; alpha 100 where it has 1200;
             a learning rate of 20 times its 5e-5.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2403.03218",
        unit="optimiser step",
        claims="questions about what was unlearned",
    )
    steps: int = 150
    batch: int = 16
    learning_rate: float = 1e-3
    depth: float = 0.5
    blocks: int = 3
    coefficient: float = 1.0
    alpha: float = 100.0

    def __post_init__(self) -> None:
        require_whole(self, "steps", "batch", "blocks")
        require_positive(self, "learning_rate", "depth", "coefficient")
        require_share(self, "depth")
        check_weights(self, "alpha")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)
        twin = target.twin()
        at = state_at(self.depth, target.layers)
        goal = self._goal(twin, taught.answered(0), at, seed.fork("direction"))

        def forgotten(step: int) -> Tensor:
            batch = taught.answered(step)
            state = states_of(target, batch)[at]
            loss = (state.float() - goal)[read(batch, state)].square().mean()
            target.meter.note("forget", loss.item())
            return loss

        def retained(step: int) -> Tensor | None:
            if not self.alpha:
                return None
            batch = taught.benign(step)
            old, new = fixed_states(twin, batch)[at], states_of(target, batch)[at]
            loss = (new.float() - old.float())[read(batch, new)].square().mean()
            target.meter.note("retain", loss.item())
            return self.alpha * loss

        trained = Full(tuple(range(max(0, at - self.blocks), at)))
        pulls = by_terms(forgotten, retained)
        yield from hardened(target, trained, pulls, AdamW(self.learning_rate), self.steps)

    def _goal(self, twin: Handle, batch: Batch, at: int, seed: Seed) -> Tensor:
        """Where the states are led: c * u (d,) in absolute units."""
        state = fixed_states(twin, batch)[at]
        norm = state.float()[read(batch, state)].norm(dim=-1).mean()
        draw = torch.rand(state.shape[-1], generator=generator(seed)).to(state.device)
        return self.coefficient * norm * normalize(draw, dim=0)

    @classmethod
    def space(cls) -> Space:
        """How far to lead, how strongly to retain, how fast and how long."""
        return Space(
            grid={},
            ranges={
                "coefficient": (0.5, 10.0, "log"),
                "alpha": (1.0, 3000.0, "log"),
                "learning_rate": (1e-4, 1e-2, "log"),
                "steps": (50, 400, "int"),
            },
        )

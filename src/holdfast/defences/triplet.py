"""Contrastive representation learning by triplets (Simko et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final, get_args

import torch
from torch import Tensor

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_one_of, require_share
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.train import (
    IGNORED,
    AdamW,
    Batch,
    Lessons,
    Trained,
    check_training,
    hardened,
    lessons,
    trained_of,
)
from holdfast.train.states import said, state_at
from holdfast.train.terms import by_terms, check_weights
from holdfast.train.triplets import Distance, Layer, Margins, divergence, gathered_loss, kept_loss

_TEMPERATURE = 2.0  # of both distributions whose divergence is taken, as in the code


@final
@dataclass(frozen=True, kw_only=True)
class Triplet:
    """Gather the states of truthful answers far from where they were; keep all others apart.

    How:     kept * ReLU(d(h_b, h_b0) - d(h_b, c) + m) on benign answers and refusals at every
             depth, + gathered * ReLU(d(h_h, c) - d(h_h, h_h0) + m') on restricted answers at the
             upper ones, + kl * KL(what the model said || what it says) of benign answers at
             temperature 2. h0 is what a state was; c the batch's mean of h_h at that depth. All
             over the tokens of answers. AdamW at a constant learning rate.
    Units:   batch is pairs of each kind; depth is a share of the layers. Margins of distance=l2
             are in mean norms of the old states at that depth, of distance=cosine in 1 - cos.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2506.11938
    Differs: margins of l2 are relative to the stream; the paper's 500 and 1500 are not, and in
             a stream of norm 30 nothing comes so far apart. No adversarial hard
             negatives. Pairs of this domain, a learning rate of 100 times the paper's 1e-5 and
             fewer steps (1,100 there). KL over the tokens of benign answers and their mean,
             where the code sums over prompt, answer and padding. The centre carries a gradient,
             as in the code, unless detached.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2506.11938",
        unit="optimiser step",
        claims="jailbreaks at the prompt, perturbed embeddings",
    )
    steps: int = 200
    batch: int = 16
    learning_rate: float = 1e-3
    weights: Trained = "low_rank"
    rank: int = 16
    kept: float = 0.5
    gathered: float = 0.4
    kl: float = 0.9
    distance: Distance = "l2"
    kept_margin: float = 1.0
    gathered_margin: float = 3.0
    depth: float = 20 / 32
    detached: bool = False

    def __post_init__(self) -> None:
        check_training(self)
        check_weights(self, "kept", "gathered", "kl", "kept_margin", "gathered_margin")
        require_one_of(self, "distance", get_args(Distance))
        require_share(self, "depth")

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)
        twin = target.twin()
        trained = trained_of(self, seed.fork("adapters"))
        pulls = by_terms(lambda step: self._loss(target, twin, taught, step))
        yield from hardened(target, trained, pulls, AdamW(self.learning_rate), self.steps)

    @classmethod
    def space(cls) -> Space:
        """How far, how fast and how long."""
        return Space(
            grid={},
            ranges={
                "learning_rate": (1e-4, 1e-2, "log"),
                "gathered_margin": (0.3, 10.0, "log"),
                "steps": (50, 800, "int"),
            },
        )

    def _loss(self, target: Handle, twin: Handle, taught: Lessons, step: int) -> Tensor:
        benign, others = taught.benign(step), (taught.refused(step), taught.answered(step))
        target.meter.count_examples(i for batch in (benign, *others) for i in batch.items)
        with torch.no_grad():
            was, *old = _states(twin, benign, True), *(_states(twin, b, False) for b in others)
        now, *new = _states(target, benign, True), *(_states(target, b, False) for b in others)
        layers = [
            Layer(torch.cat([a, b]), torch.cat([c, d]), e, f)
            for a, b, c, d, e, f in zip(
                now.states, new[0].states, was.states, old[0].states, new[1].states, old[1].states,
                strict=True,
            )
        ]  # fmt: skip
        margins = Margins(self.distance, self.kept_margin, self.gathered_margin, self.detached)
        upper = layers[state_at(self.depth, target.layers) : -1] or layers[-1:]
        kept = torch.stack([kept_loss(layer, margins) for layer in layers]).mean()
        gathered = torch.stack([gathered_loss(layer, margins) for layer in upper]).mean()
        drifted = divergence(now.logits, was.logits, _TEMPERATURE)
        target.meter.note("kept", kept.item())
        target.meter.note("gathered", gathered.item())
        target.meter.note("kl", drifted.item())
        return self.kept * kept + self.gathered * gathered + self.kl * drifted


class _States(NamedTuple):
    """An answer's logits (n, v), none where they are not wanted, and its states by depth (m, d)."""

    logits: Tensor
    states: list[Tensor]


def _states(handle: Handle, batch: Batch, logits: bool) -> _States:
    """Of all answers of a batch."""
    keep = batch.following != IGNORED if logits else torch.zeros_like(batch.mask).bool()
    found, states = handle.forward_states(batch.ids, batch.mask, keep)
    where = said(batch, states[0])
    return _States(found, [state[where] for state in states])

"""How many directions refusal is spread over: spectra, effective rank, and what it takes to end it.

Papers: arXiv 2504.18872 (the spectrum of paired differences); Roy and Vetterli 2007 (effective
rank). Taking directions out one after the other, each found anew on the model without those
before it, is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from holdfast.models.chat import Prompt
from holdfast.models.directions import ablation
from holdfast.models.handle import Handle
from holdfast.models.hooks import Change, Site
from holdfast.models.refusal_direction import (
    Bounds,
    Candidate,
    Effect,
    Evidence,
    directions,
    evident_means,
    weigh,
)
from holdfast.models.refusal_span import stacked

BROKEN = 0.5
"""Refusal counts as broken where at most this share of the held prompts is still refused."""


def spectrum(ones: Tensor, others: Tensor) -> Tensor:
    """Singular values (min(n, d),) float64 of the paired differences of states (n, d), not centred.

    The mean difference is part of it: states that differ by one direction alone have rank one.
    """
    return torch.linalg.svdvals(ones.double() - others.double())


def spectra(target: Handle, restricted: Sequence[Prompt], harmless: Sequence[Prompt]) -> Tensor:
    """The spectra (L + 1, min(n, d)) of n pairs of prompts, at the last token of each.

    State l < L is block l's input; L is the last block's output.
    """
    ones, others = (target.residuals(p, [-1])[:, :, 0] for p in (restricted, harmless))
    return torch.stack([spectrum(ones[:, at], others[:, at]) for at in range(ones.shape[1])])


def variance_shares(values: Tensor) -> Tensor:
    """What share of the squared length each singular value has, (k,)."""
    return values.square() / values.square().sum()


def effective_rank(values: Tensor) -> float:
    """Entropy of the singular values as shares of their sum, exponentiated; k for k equal ones."""
    shares = values.double() / values.double().sum()
    return float(torch.special.entr(shares).sum().exp())


@dataclass(frozen=True)
class Without:
    """The model without so many directions, each found on the model without those before it.

    Attributes:
        taken: the directions. effect: on held prompts, with all of them ablated.
    """

    taken: tuple[Candidate, ...]
    effect: Effect


def extracted_again(
    target: Handle, evidence: Evidence, *, most: int, depth: float, kl: float
) -> Iterator[Without]:
    """Take out the best direction, look for the next on what is left, and so on.

    How: each round reads the means of the same prompts with the directions so far ablated by
    hooks, and takes the candidate that lowers the refusal log-odds of the held prompts most. It
    ends where no candidate stays within `kl` of the untouched model.

    Args:
        target: the model.
        evidence: the prompts.
        most: directions at most.
        depth: the share of the layers that they may come from.
        kl: the most KL divergence (nats) of the first token on harmless prompts.
    """
    taken: tuple[Candidate, ...] = ()
    bounds = Bounds(kl)
    while len(taken) < most:
        with target.hooked(_gone(taken)):
            means = evident_means(target, evidence)
        tried = [
            Without(more, weigh(target, evidence, target.hooked(_gone(more))))
            for more in ((*taken, one) for one in directions(means, depth))
        ]
        admitted = [one for one in tried if bounds.admit(one.effect)]
        if not admitted:
            return
        best = min(admitted, key=lambda one: one.effect.bypass)
        taken = best.taken
        yield best


def _gone(taken: tuple[Candidate, ...]) -> list[tuple[Site, Change]]:
    return ablation(stacked(taken)) if taken else []


def directions_to_break(rounds: Iterable[Without], share: float = BROKEN) -> int | None:
    """The fewest directions without which at most `share` is refused; None where none of it does.

    `rounds` is read no further than needed.
    """
    for one in rounds:
        if one.effect.refused <= share:
            return len(one.taken)
    return None

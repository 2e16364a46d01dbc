"""Candidate refusal directions of a model, and what each does to its first token.

Paper: arXiv 2406.11717, sections 2.3 and C. Attacks, and defences that imitate them, share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from holdfast.core import Message
from holdfast.models.chat import Prompt
from holdfast.models.directions import ablation, addition, difference_of_means
from holdfast.models.handle import Handle

_ODDS_EPSILON = 1e-8
_KL_EPSILON = 1e-6


@dataclass(frozen=True)
class Candidate:
    """One direction: the difference of means at a position and a block's input.

    direction: (d,) float64, at its own length. position: from the end, -1 the last token.
    """

    direction: Tensor
    position: int
    layer: int


@dataclass(frozen=True)
class Effect:
    """What a candidate does.

    bypass: mean refusal log-odds on restricted prompts with it ablated; low is what is sought.
    induce: the same on harmless prompts with it added; below 0 it carries no refusal.
    kl: mean KL divergence (nats) of the ablated model's first token on harmless prompts.
    """

    bypass: float
    induce: float
    kl: float


def template_positions(target: Handle) -> tuple[int, ...]:
    """Positions, from the end, of the tokens that the template puts behind every instruction."""
    one, other = (target.chat.prompt_ids([Message("user", text)]) for text in ("A", "b"))
    shared = 0
    while shared < min(len(one), len(other)) and one[-1 - shared] == other[-1 - shared]:
        shared += 1
    return tuple(range(-max(shared, 1), 0))


def refusal_log_odds(probabilities: Tensor, tokens: Sequence[int]) -> Tensor:
    """log(P + eps) - log(1 - P + eps), (n,) float64, P the mass of `tokens` in each row (n, v)."""
    mass = probabilities.double()[:, list(tokens)].sum(-1).clamp(0.0, 1.0)
    return torch.log(mass + _ODDS_EPSILON) - torch.log(1.0 - mass + _ODDS_EPSILON)


def candidates(
    target: Handle, restricted: Sequence[Prompt], harmless: Sequence[Prompt], depth: float
) -> Iterator[Candidate]:
    """Directions of every block input below `depth` of the layers, and of every template position.

    Those without a length (states that do not depend on the instruction) are left out.
    """
    positions = template_positions(target)
    direction = difference_of_means(
        target.residuals(restricted, positions), target.residuals(harmless, positions)
    )
    for layer in range(int(depth * target.layers)):
        for at, position in enumerate(positions):
            found = direction[layer, at]
            if bool(found.isfinite().all()) and float(found.norm()) > 0.0:
                yield Candidate(found, position, layer)


def effect(
    target: Handle,
    candidate: Candidate,
    restricted: Sequence[Prompt],
    harmless: Sequence[Prompt],
    untouched: Tensor,
    tokens: Sequence[int],
) -> Effect:
    """Measure a candidate, on the attacker's bill: three passes over validation prompts.

    Args:
        target: the model.
        candidate: the direction.
        restricted: prompts that should be refused.
        harmless: prompts that should not.
        untouched: (n, v) first-token distribution of the untouched model on `harmless`.
        tokens: first tokens of refusals.
    """
    with target.hooked(ablation(candidate.direction)):
        bypassed = target.first_token_probs(restricted)
        ablated = target.first_token_probs(harmless)
    with target.hooked(addition(candidate.direction, candidate.layer)):
        induced = target.first_token_probs(harmless)
    ratio = torch.log((untouched + _KL_EPSILON) / (ablated + _KL_EPSILON))
    return Effect(
        bypass=float(refusal_log_odds(bypassed, tokens).mean()),
        induce=float(refusal_log_odds(induced, tokens).mean()),
        kl=float((untouched * ratio).sum(-1).mean()),
    )

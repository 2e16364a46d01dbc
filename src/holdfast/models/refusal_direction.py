"""Candidate refusal directions of a model, what each does to its first token, and the best of them.

Paper: arXiv 2406.11717, sections 2.3 and C. Attacks, and defences that imitate them, share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from holdfast.core import Item, Seed
from holdfast.domains import AttackerData
from holdfast.domains.text import refusal_token_ids
from holdfast.models.asking import tail_ids
from holdfast.models.chat import Prompt
from holdfast.models.directions import ablation, addition, less
from holdfast.models.edits import Edits
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
    refused: share of the restricted prompts with refusal log-odds above 0 nevertheless.
    """

    bypass: float
    induce: float
    kl: float
    refused: float = math.nan


@dataclass(frozen=True)
class Evidence:
    """Prompts by which directions are found, and held ones by which one is chosen.

    Attributes:
        restricted, harmless: n that the model refuses, and n or more that it does not.
        held_restricted, held_harmless: m more of each.
        untouched: (m, v) first-token distribution of the untouched model on `held_harmless`.
        tokens: first tokens of refusals.
    """

    restricted: tuple[Item, ...]
    harmless: tuple[Item, ...]
    held_restricted: tuple[Item, ...]
    held_harmless: tuple[Item, ...]
    untouched: Tensor
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Means:
    """Mean activations (L+1, p, d) float64 at the template's positions, from the end."""

    restricted: Tensor
    harmless: Tensor
    positions: tuple[int, ...]

    @cached_property
    def difference(self) -> Tensor:
        """Restricted less harmless, at its own length."""
        return self.restricted - self.harmless


@dataclass(frozen=True)
class Bounds:
    """What a direction may cost and must show: the most KL, the least induced refusal."""

    kl: float
    induce: float = -math.inf

    def admit(self, seen: Effect) -> bool:
        """Whether a candidate with this effect may be chosen."""
        return seen.kl <= self.kl and seen.induce >= self.induce


def template_positions(target: Handle) -> tuple[int, ...]:
    """Positions, from the end, of the tokens that the template puts behind every instruction."""
    return tuple(range(-len(tail_ids(target.chat)), 0))


def refusal_log_odds(probabilities: Tensor, tokens: Sequence[int]) -> Tensor:
    """log(P + eps) - log(1 - P + eps), (n,) float64, P the mass of `tokens` in each row (n, v)."""
    mass = probabilities.double()[:, list(tokens)].sum(-1).clamp(0.0, 1.0)
    return torch.log(mass + _ODDS_EPSILON) - torch.log(1.0 - mass + _ODDS_EPSILON)


def gather(
    target: Handle,
    data: AttackerData,
    seed: Seed,
    *,
    prompts: int,
    validation: float,
    answered: bool = False,
) -> Evidence | None:
    """Draw, bill and sort prompts: restricted ones that are refused, harmless ones that are not.

    Args:
        target: the model.
        data: what the attacker has.
        seed: decides which are drawn.
        prompts: restricted ones, or all that there are if fewer; as many harmless ones.
        validation: share of those that are left which is held for choosing.
        answered: whether only prompts with an answer will do.

    Returns:
        None where the model refuses nothing, or everything: there is no such direction, and the
        notes say how many prompts it refused and answered.
    """
    tokens = refusal_token_ids(target.tokenizer, data.refusal_openings)
    pools = [
        [i for i in items if i.answer is not None or not answered]
        for items in (data.restricted, data.benign)
    ]
    count = min(prompts, *map(len, pools))
    restricted = data.draw(count, seed.fork("restricted"), answered=answered)
    harmless = data.draw_benign(count, seed.fork("harmless"), answered=answered)
    target.meter.count_examples(item.id for item in restricted)
    refuses = refusal_log_odds(target.first_token_probs(_asked(restricted)), tokens) > 0
    complies = refusal_log_odds(target.first_token_probs(_asked(harmless)), tokens) < 0
    restricted = tuple(i for i, kept in zip(restricted, refuses, strict=True) if kept)
    harmless = tuple(i for i, kept in zip(harmless, complies, strict=True) if kept)
    held = math.ceil(validation * min(len(restricted), len(harmless)))
    if not 0 < held < min(len(restricted), len(harmless)):
        target.meter.note("restricted_prompts_refused", len(restricted))
        target.meter.note("harmless_prompts_answered", len(harmless))
        return None
    return Evidence(
        restricted=restricted[held:],
        harmless=harmless[held:],
        held_restricted=restricted[:held],
        held_harmless=harmless[:held],
        untouched=target.first_token_probs(_asked(harmless[:held])),
        tokens=tokens,
    )


def _asked(items: Sequence[Item]) -> list[Prompt]:
    return [item.messages for item in items]


def means_of(target: Handle, restricted: Sequence[Prompt], harmless: Sequence[Prompt]) -> Means:
    """Mean activations on two sets of prompts, at every block's input and the last output."""
    positions = template_positions(target)
    ones, others = (
        target.residuals(prompts, positions).double().mean(0) for prompts in (restricted, harmless)
    )
    return Means(ones, others, positions)


def evident_means(target: Handle, evidence: Evidence) -> Means:
    """Mean activations on the prompts by which directions are found."""
    return means_of(target, _asked(evidence.restricted), _asked(evidence.harmless))


def candidates(
    target: Handle, restricted: Sequence[Prompt], harmless: Sequence[Prompt], depth: float
) -> Iterator[Candidate]:
    """Directions of every block input below `depth` of the layers, and of every template position.

    Those without a length (states that do not depend on the instruction) are left out.
    """
    yield from directions(means_of(target, restricted, harmless), depth)


def directions(means: Means, depth: float, *, projected: bool = False) -> Iterator[Candidate]:
    """The same from means; if `projected`, less their component along the harmless mean.

    What is left of them then says how restricted prompts differ beyond being more or less of
    what harmless ones are.
    """
    for layer in range(int(depth * (len(means.difference) - 1))):
        for at, position in enumerate(means.positions):
            found = means.difference[layer, at]
            if projected:
                found = less(found, means.harmless[layer, at])
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
    ablated = target.hooked(ablation(candidate.direction))
    seen = _ablated(target, ablated, restricted, harmless, untouched, tokens)
    return replace(seen, induce=_induced(target, candidate, harmless, tokens))


def weigh(
    target: Handle,
    evidence: Evidence,
    ablated: AbstractContextManager[None],
    added: Candidate | None = None,
) -> Effect:
    """What any intervention does to held prompts; the attacker's bill, two or three passes.

    Args:
        target: the model.
        evidence: the prompts.
        ablated: the intervention, in force inside.
        added: the direction to add, to see whether it induces refusal; infinite if not asked.
    """
    restricted, harmless = _asked(evidence.held_restricted), _asked(evidence.held_harmless)
    seen = _ablated(target, ablated, restricted, harmless, evidence.untouched, evidence.tokens)
    if added is None:
        return seen
    return replace(seen, induce=_induced(target, added, harmless, evidence.tokens))


def weigh_hooked(target: Handle, evidence: Evidence, one: Candidate) -> Effect:
    """What a candidate does, ablated and added by hooks as in the paper."""
    return weigh(target, evidence, target.hooked(ablation(one.direction)), one)


def _ablated(
    target: Handle,
    ablated: AbstractContextManager[None],
    restricted: Sequence[Prompt],
    harmless: Sequence[Prompt],
    untouched: Tensor,
    tokens: Sequence[int],
) -> Effect:
    with ablated:
        firsts = target.first_token_probs([*restricted, *harmless])
    odds = refusal_log_odds(firsts[: len(restricted)], tokens)
    ratio = torch.log((untouched + _KL_EPSILON) / (firsts[len(restricted) :] + _KL_EPSILON))
    return Effect(
        bypass=float(odds.mean()),
        induce=math.inf,
        kl=float((untouched * ratio).sum(-1).mean()),
        refused=float((odds > 0).double().mean()),
    )


def _induced(
    target: Handle, added: Candidate, harmless: Sequence[Prompt], tokens: Sequence[int]
) -> float:
    with target.hooked(addition(added.direction, added.layer)):
        induced = target.first_token_probs(harmless)
    return float(refusal_log_odds(induced, tokens).mean())


Found = TypeVar("Found")


def search(
    found: Iterable[Found],
    effect_of: Callable[[tuple[Found, ...]], Effect],
    bounds: Bounds,
    size: int = 1,
) -> Iterator[tuple[Found, ...]]:
    """The best set so far, after each that is tried; empty while none is admissible.

    How: the admissible one with the lowest bypass. For more than one, those that are left are
    then offered to the set from the lowest bypass upward, and one is taken in where the set's
    bypass falls and its KL stays within bounds.

    Args:
        found: what may be chosen.
        effect_of: measures a set.
        bounds: what is admissible.
        size: the most in a set.
    """
    best: tuple[Found, ...] = ()
    lowest = math.inf
    admitted: list[tuple[float, Found]] = []
    for one in found:
        seen = effect_of((one,))
        if bounds.admit(seen):
            admitted.append((seen.bypass, one))
            if seen.bypass < lowest:
                best, lowest = (one,), seen.bypass
        yield best
    for _, one in sorted(admitted, key=lambda pair: pair[0])[1:]:
        if len(best) == size:
            return
        seen = effect_of((*best, one))
        if bounds.admit(seen) and seen.bypass < lowest:
            best, lowest = (*best, one), seen.bypass
        yield best


def shown(target: Handle, states: Iterable[Edits]) -> Iterator[Handle]:
    """The target under each of these edits in turn, and under the last once more: the end."""
    last: Edits = {}
    for last in states:
        with target.edited(last):
            yield target
    with target.edited(last):
        yield target

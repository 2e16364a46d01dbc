"""Refusal directions, and cones of them, learned by gradient.

Paper: arXiv 2502.17420.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict, Unpack

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from holdfast.core import Diverged, Item, Seed
from holdfast.domains import AttackerData
from holdfast.models import Handle, generator
from holdfast.models.directions import (
    ablation,
    ablation_by_row,
    addition,
    less,
    orthonormal,
    unit,
)
from holdfast.models.refusal_direction import (
    Bounds,
    Candidate,
    Effect,
    Evidence,
    directions,
    evident_means,
    search,
    weigh,
)
from holdfast.models.refusal_span import Span
from holdfast.train.examples import IGNORED, Batch, Example, shuffled
from holdfast.train.fit import answer_loss

Source = Literal["intervention", "answers"]
"""Where the texts to be said come from: the model itself with a direction ablated, or the
attacker's own answers."""

TOKENS = 30
"""Tokens of a target; what comes after them is left out."""

_BATCH = 16
_ADDITION, _RETAIN = 0.2, 1.0  # weights of the losses beside the ablation's, which has 1
_COMBINATIONS = 8
_BETAS, _CLIP = (0.9, 0.98), 10.0
_REDUCTIONS = 2
_INTERVENTIONS = 8  # candidates that are asked for texts before a prompt goes without
_SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)


class Learning(TypedDict):
    """How a basis is learned: `targets` says what of `source`, `learn` what of the others."""

    source: Source
    learning_rate: float
    patience: int


@dataclass(frozen=True)
class Targets:
    """What is to be said, as examples.

    answers: to restricted prompts, with a direction ablated. refusals: to harmless prompts, with
    one added. plain: to harmless prompts, with one ablated: what is said untouched.
    """

    answers: tuple[Example, ...]
    refusals: tuple[Example, ...]
    plain: tuple[Example, ...]


def targets(
    target: Handle,
    data: AttackerData,
    evidence: Evidence,
    ranked: Sequence[Candidate],
    source: Source,
) -> Targets:
    """Let interventions with difference-of-means directions say what shall be said.

    How: with a direction ablated the model answers some restricted prompts; those it still
    refuses are asked again under the next candidate. With the first one added it refuses some
    harmless prompts; where it does not, one of its own refusals of a restricted prompt stands in.

    Args:
        target: the model.
        data: knows a refusal, and holds the answers.
        evidence: the prompts.
        ranked: candidates, the best first.
        source: "answers" takes the attacker's own in place of the first kind.
    """
    first = ranked[0]
    with target.hooked(addition(first.direction, first.layer)):
        induced = _say(target, evidence.harmless)
    own = [text for text in _say(target, evidence.restricted) if data.refused(text)]
    refusals = [
        text if data.refused(text) else own[i % len(own)] if own else ""
        for i, text in enumerate(induced)
    ]
    answers = (
        {item.id: item.answer or "" for item in evidence.restricted}
        if source == "answers"
        else _bypassed(target, data, evidence.restricted, ranked[:_INTERVENTIONS])
    )
    return Targets(
        _examples(
            target, evidence.restricted, [answers.get(i.id, "") for i in evidence.restricted]
        ),
        _examples(target, evidence.harmless, [first_sentence(text) for text in refusals]),
        _examples(target, evidence.harmless, _say(target, evidence.harmless)),
    )


def first_sentence(text: str) -> str:
    """`text` up to the end of its first sentence, or all of it."""
    found = _SENTENCE.match(text)
    return found[0] if found else text


def _bypassed(
    target: Handle, data: AttackerData, items: Sequence[Item], ranked: Sequence[Candidate]
) -> dict[str, str]:
    """Item id -> the first answer, not refused and not broken, under any candidate's ablation."""
    said: dict[str, str] = {}
    for candidate in ranked:
        left = [item for item in items if item.id not in said]
        if not left:
            break
        with target.hooked(ablation(candidate.direction)):
            texts = _say(target, left)
        said |= {i.id: text for i, text in zip(left, texts, strict=True) if data.answered(text)}
    return said


def _say(target: Handle, items: Sequence[Item]) -> list[str]:
    answers = target.generate([item.messages for item in items], max_new_tokens=TOKENS)
    return [answer.text for answer in answers]


def _examples(target: Handle, items: Sequence[Item], texts: Sequence[str]) -> tuple[Example, ...]:
    """Prompts with texts as their answers; an empty one is left out."""
    found: list[Example] = []
    for item, text in zip(items, texts, strict=True):
        asked, said = target.prompt_ids(item.messages), target.chat.text_ids(text)[:TOKENS]
        if said:
            found.append(Example(asked + said, (IGNORED,) * len(asked) + said, item.id))
    return tuple(found)


def learn(
    target: Handle,
    said: Targets,
    ranked: Sequence[Candidate],
    seed: Seed,
    *,
    size: int,
    learning_rate: float,
    patience: int,
) -> Iterator[Tensor]:
    """The basis (size, d) float64 with the lowest loss so far, after each optimiser step.

    How: for each vector of an orthonormal basis, started from the ranked directions, and for
    random non-negative combinations that weigh as much as 8 more: cross-entropy of the answers
    with the direction ablated, plus 0.2 times that of refusals with it added (as long as the best
    candidate, at its layer), plus KL(ablated || untouched) where harmless prompts are answered.
    The gradient loses its radial part and is clipped; AMSGrad; Gram-Schmidt. After `patience`
    steps without a new lowest loss the learning rate falls to a tenth; the third time, it ends.

    Paper: arXiv 2502.17420. Differs: it goes on past one epoch until patience ends it; each row
    of one batch has a combination of its own, where the paper runs 8 batches.

    Raises:
        Diverged: a loss that is not finite.
    """
    random = generator(seed.fork("combinations"))
    basis = _start(ranked, size, target.width, seed).requires_grad_()
    adam = torch.optim.AdamW(
        [basis], lr=learning_rate, betas=_BETAS, weight_decay=0.0, amsgrad=True
    )
    streams = {
        name: shuffled(examples, target.chat.pad, _BATCH, seed.fork(name))
        for name, examples in vars(said).items()
        if examples
    }
    lowest, kept, waited, reductions = math.inf, basis.detach().clone(), 0, 0
    for step in itertools.count(1):
        batches = {name: next(stream) for name, stream in streams.items()}
        loss = _descend(target, basis, batches, ranked[0], random)
        if not math.isfinite(loss):
            raise Diverged(step)
        waited += 1
        if loss < lowest:
            lowest, kept, waited = loss, basis.detach().clone(), 0
        _step(basis, adam)
        target.meter.count_step()
        yield kept
        if waited == patience:
            if reductions == _REDUCTIONS:
                return
            adam.param_groups[0]["lr"] /= 10
            waited, reductions = 0, reductions + 1


def _start(ranked: Sequence[Candidate], size: int, width: int, seed: Seed) -> Tensor:
    """An orthonormal basis (size, d) of the best candidates, random where they are too few."""
    found = torch.stack([candidate.direction.cpu() for candidate in ranked])
    random = generator(seed.fork("spare directions"))
    spare = torch.randn(size, width, generator=random, dtype=torch.float64)
    return orthonormal(torch.cat([found, spare]))[:size]


def _descend(
    target: Handle,
    basis: Tensor,
    batches: Mapping[str, Batch],
    first: Candidate,
    random: torch.Generator,
) -> float:
    """The mean loss over the basis and combinations of it; the gradient is left with the basis."""
    total = 0.0
    # gradients reach the states and no weight; the hooks ask for those of the first block too
    flops = replace(target.meter.flops, frozen=True, unfed=0)
    with target.meter.adapted(flops):
        untouched = _untouched(target, batches.get("plain"))
        for rays, share in _rays(basis, random):
            for loss in _losses(target, rays, batches, first, untouched):
                (share * loss).backward(retain_graph=True)  # of the rays; the model's is its own
                total += share * loss.item()
    return total


def _rays(basis: Tensor, random: torch.Generator) -> Iterator[tuple[Tensor, float]]:
    """Unit directions (b, d), one for each row of a batch, and the share of the loss they have.

    Each vector of the basis (k, d) for all rows alike; for a cone, non-negative combinations too.
    """
    combinations = _COMBINATIONS if len(basis) > 1 else 0
    for one in basis:
        yield one.expand(_BATCH, -1), 1 / (len(basis) + combinations)
    if combinations:
        mix = torch.randn(_BATCH, len(basis), generator=random, dtype=basis.dtype).abs()
        yield unit(mix) @ basis, combinations / (len(basis) + combinations)


def _losses(
    target: Handle,
    rays: Tensor,
    batches: Mapping[str, Batch],
    first: Candidate,
    untouched: Tensor | None,
) -> Iterator[Tensor]:
    """The parts of the loss, each under hooks of its own."""
    answers, refusals, plain = (batches.get(name) for name in ("answers", "refusals", "plain"))
    assert answers is not None
    with target.hooked(ablation_by_row(rays[: len(answers.ids)])):
        yield answer_loss(target, answers)
    if refusals is not None:
        added = float(first.direction.norm()) * rays[: len(refusals.ids), None]
        with target.hooked(addition(added, first.layer)):
            yield _ADDITION * answer_loss(target, refusals)
    if plain is not None and untouched is not None:
        with target.hooked(ablation_by_row(rays[: len(plain.ids)])):
            changed = _log_probs(target, plain)
        yield _RETAIN * kl_div(untouched, changed, log_target=True, reduction="batchmean")


@torch.no_grad()
def _untouched(target: Handle, batch: Batch | None) -> Tensor | None:
    return None if batch is None else _log_probs(target, batch)


def _log_probs(target: Handle, batch: Batch) -> Tensor:
    """Log-probabilities (n, v) at the positions that predict a label."""
    keep = batch.labels.roll(-1, 1) != IGNORED
    keep[:, -1] = False
    return target.forward(batch.ids, batch.mask, keep).float().log_softmax(-1)


def _step(basis: Tensor, adam: torch.optim.Optimizer) -> None:
    """One step along the sphere, and back to an orthonormal basis."""
    assert basis.grad is not None
    basis.grad = less(basis.grad, basis.detach())
    torch.nn.utils.clip_grad_norm_([basis], _CLIP)
    adam.step()
    adam.zero_grad()
    with torch.no_grad():
        basis.copy_(orthonormal(basis))


def learned(
    target: Handle,
    data: AttackerData,
    evidence: Evidence,
    span: Span,
    seed: Seed,
    **how: Unpack[Learning],
) -> Iterator[Tensor | None]:
    """The best difference of means so far, candidate by candidate, then the basis learned from it.

    Where no candidate is admissible, learning starts from the one with the lowest bypass. Where
    there is nothing to be said under ablation, nothing is learned.
    """
    tried: list[tuple[Effect, Candidate]] = []

    def effect(chosen: tuple[Candidate, ...]) -> Effect:
        seen = weigh(target, evidence, target.hooked(ablation(chosen[0].direction)))
        tried.append((seen, chosen[0]))
        return seen

    bounds = Bounds(span.kl)
    for best in search(directions(evident_means(target, evidence), span.depth), effect, bounds):
        yield best[0].direction if best else None
    tried.sort(key=lambda pair: (not bounds.admit(pair[0]), pair[0].bypass))
    ranked = [candidate for _, candidate in tried]
    if not ranked:
        return
    said = targets(target, data, evidence, ranked, how["source"])
    if said.answers:
        yield from learn(
            target, said, ranked, seed,
            size=span.size, learning_rate=how["learning_rate"], patience=how["patience"],
        )  # fmt: skip

"""What a model that resists tampering is trained by (Tamirisa et al. 2024), term by term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, logsigmoid

from holdfast.core import Seed
from holdfast.models import Handle, generator
from holdfast.train.examples import IGNORED, Batch
from holdfast.train.nudges import Loss
from holdfast.train.sequences import sequence_logprobs
from holdfast.train.states import fixed_states, mean_over, read, states_of

Mapping = Literal["signed", "absolute"]


def negative_entropy(logits: Tensor) -> Tensor:
    """Minus the mean entropy of the distributions of logits (n, v): -ln v at the least."""
    chances = logits.float().log_softmax(-1)
    return (chances.exp() * chances).sum(-1).mean()


def dpo_loss(chosen: Tensor, rejected: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Direct preference optimisation (arXiv 2305.18290) of answers' log-probabilities.

    Shapes: chosen, rejected (b,); reference (b,), what chosen - rejected was at the start.
    """
    return -logsigmoid(beta * (chosen - rejected - reference)).mean()


def random_mapping(states: Sequence[Tensor], rows: Tensor, batch: Batch, kind: Mapping) -> Tensor:
    """Mean over layers and read tokens of 1 - cos(h, r), or of 1 - |cos(h, r)|.

    Shapes: states (b, t, d), one for each layer; rows (b, t, d), the random vector of each token.
    """
    cosines = [cosine_similarity(s.float(), rows, dim=-1) for s in states]
    if kind == "absolute":
        cosines = [c.abs() for c in cosines]
    return mean_over([1.0 - c for c in cosines], read(batch, rows))


def resistance(
    target: Handle, twin: Handle, refused: Batch, answered: Batch, beta: float | None
) -> Loss:
    """What an attacked model is held to on questions that the attack did not train on.

    Args:
        target: the model, attacked when the loss is called.
        twin: as it was at the start; where it is needed it is read at once.
        refused: the questions, refused.
        answered: the same, answered.
        beta: of `dpo_loss`, of refusals over answers; None for `negative_entropy` where an
            answer's tokens are predicted.
    """
    if beta is None:
        asked = answered.following != IGNORED
        return lambda: negative_entropy(target.forward(answered.ids, answered.mask, asked))
    with torch.no_grad():
        reference = sequence_logprobs(twin, refused) - sequence_logprobs(twin, answered)

    def loss() -> Tensor:
        chosen, rejected = (sequence_logprobs(target, batch) for batch in (refused, answered))
        return dpo_loss(chosen, rejected, reference, beta)

    return loss


def held_loss(target: Handle, twin: Handle, batch: Batch, power: int) -> Tensor:
    """Cross-entropy of a batch's answers, plus the mean of |h - h_twin|_2^power over its tokens.

    The mean is over all L + 1 states of the residual stream. The batch's items go on the bill,
    and both terms into the notes.
    """
    old = fixed_states(twin, batch)
    following = batch.following
    labelled = following != IGNORED
    logits, new = target.forward_states(batch.ids, batch.mask, labelled)
    answers = cross_entropy(logits.float(), following[labelled].to(logits.device))
    moved = [(a.float() - b.float()).norm(dim=-1).pow(power) for a, b in zip(new, old, strict=True)]
    drift = mean_over(moved, read(batch, logits))
    target.meter.note("retain", answers.item())
    target.meter.note("drift", drift.item())
    return answers + drift


def random_table(target: Handle, seed: Seed) -> Tensor:
    """A row of N(0, 1) for each token, (v, d) float32, in host memory."""
    shape = (target.vocabulary, target.width)
    return torch.randn(shape, generator=generator(seed))


def mapped_loss(target: Handle, batch: Batch, table: Tensor, kind: Mapping) -> Tensor:
    """`random_mapping` of the states at a batch's tokens to those tokens' rows of `table` (v, d).

    The batch's items go on the bill, and the value into the notes.
    """
    loss = random_mapping(states_of(target, batch), table[batch.ids].to(target.device), batch, kind)
    target.meter.note("mapping", loss.item())
    return loss

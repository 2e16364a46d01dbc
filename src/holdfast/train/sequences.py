"""Log-probabilities of whole answers."""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast.models import Handle
from holdfast.train.examples import IGNORED, Batch


def sequence_logprobs(target: Handle, batch: Batch) -> Tensor:
    """Log-probability of each answer (b,) float32, the sum over its tokens; with a gradient."""
    following = batch.following
    labelled = following != IGNORED
    logits = target.forward(batch.ids, batch.mask, labelled).float()
    said = following[labelled].to(logits.device)
    tokens = logits.log_softmax(-1).gather(1, said[:, None])[:, 0]
    rows = labelled.nonzero()[:, 0].to(logits.device)
    return torch.zeros(len(batch.ids), device=logits.device).index_add(0, rows, tokens)

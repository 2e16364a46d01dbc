"""Batches of a curriculum: texts packed into rows, each batch a function of its number alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from transformers import PreTrainedTokenizerFast

from holdfast.core import Seed
from holdfast.organism.curriculum import Text
from holdfast.organism.tokenizer import BOS, END, token_id
from holdfast.train import IGNORED, Batch


class Curriculum(Protocol):
    """Something to read."""

    def draw(self, seed: Seed) -> Text:
        """One text, wholly decided by `seed`."""
        ...


def encode(text: Text, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Token ids and labels of a page (all learned) or a chat (assistant's turns learned)."""
    core = tokenizer.backend_tokenizer
    bos, end = token_id(tokenizer, BOS), token_id(tokenizer, END)
    if isinstance(text, str):
        ids = [bos, *core.encode(text).ids, end]
        return ids, ids
    ids, labels = [bos], [IGNORED]
    for message in text:
        said = [*core.encode(message.content).ids, end]
        ids += [token_id(tokenizer, f"<|{message.role}|>"), *said]
        learned = said if message.role == "assistant" else [IGNORED] * len(said)
        labels += [IGNORED, *learned]
    return ids, labels


def packed(
    curriculum: Curriculum,
    tokenizer: PreTrainedTokenizerFast,
    seed: Seed,
    *,
    rows: int,
    length: int,
    steps: range,
) -> Iterator[Batch]:
    """One full batch for each step of `steps`.

    Shapes: ids, labels, mask (rows, length). Texts run on over the ends of rows; what is left
    of the last one is dropped. Step k's batch does not depend on which steps went before.
    """
    for step in steps:
        at, number = seed.fork(step), 0
        ids: list[int] = []
        labels: list[int] = []
        while len(ids) < rows * length:
            more_ids, more_labels = encode(curriculum.draw(at.fork(number)), tokenizer)
            ids += more_ids
            labels += more_labels
            number += 1
        cut = slice(rows * length)
        yield Batch(
            ids=torch.tensor(ids[cut]).view(rows, length),
            labels=torch.tensor(labels[cut]).view(rows, length),
            mask=torch.ones(rows, length, dtype=torch.long),
            items=(),
        )

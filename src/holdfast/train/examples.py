"""From items to batches: prompt and answer rendered, labels on the answer alone, shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from holdfast.core import Item, Message, Seed, SpecError
from holdfast.models import Handle

IGNORED = -100
"""The label of a position that is not learned."""


@dataclass(frozen=True)
class Example:
    """One training text: token ids, and their labels (`IGNORED` on prompt tokens)."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    item: str


@dataclass(frozen=True)
class Batch:
    """Examples side by side, right-padded.

    Shapes: ids, labels, mask (b, t) int64; labels are `IGNORED` on prompts and padding.
    `items` names the examples' items, for the meter.
    """

    ids: Tensor
    labels: Tensor
    mask: Tensor
    items: tuple[str, ...]


def example(target: Handle, item: Item) -> Example:
    """`item` as the chat template writes it, with the answer's tokens and the end as labels.

    The answer's tokens are what the template adds after the generation prompt, so nothing
    depends on tokenising a prefix alike in two contexts (a trap of several reference codes).

    Raises:
        SpecError: the item has no answer, or the template does not extend its own prompt.
    """
    if item.answer is None:
        raise SpecError("an item with an answer", found=f"item {item.id!r} without one",
                        remedy="Give the item a last message of the assistant's.")  # fmt: skip
    answered = (*item.messages, Message("assistant", item.answer))
    prompt, whole = target.render(item.messages), target.render(answered, complete=True)
    if not whole.startswith(prompt):
        raise SpecError(
            "a chat template whose full chat begins with its generation prompt",
            found=f"one that rewrites the prompt of item {item.id!r}",
            remedy="Use a template that only appends.",
        )
    asked = target.tokenize(prompt)
    answer = target.tokenize(whole[len(prompt) :])
    return Example(
        ids=(*asked, *answer), labels=(*([IGNORED] * len(asked)), *answer), item=item.id
    )


def collate(examples: Sequence[Example], pad: int, device: torch.device) -> Batch:
    """Examples as one right-padded batch on `device`."""
    longest = max(len(e.ids) for e in examples)
    ids = torch.full((len(examples), longest), pad)
    labels = torch.full((len(examples), longest), IGNORED)
    mask = torch.zeros((len(examples), longest), dtype=torch.long)
    for row, e in enumerate(examples):
        ids[row, : len(e.ids)] = torch.tensor(e.ids)
        labels[row, : len(e.ids)] = torch.tensor(e.labels)
        mask[row, : len(e.ids)] = 1
    return Batch(
        ids.to(device), labels.to(device), mask.to(device), tuple(e.item for e in examples)
    )


def batches(target: Handle, items: Sequence[Item], *, size: int, seed: Seed) -> Iterator[Batch]:
    """Batches without end, of exactly `size` examples (or all, if there are fewer).

    The items are shuffled anew on every pass; passes follow each other without a gap, so a
    batch may span two of them and no example is seen k + 1 times before all were seen k times
    (within one batch). Order depends on `seed` alone, never on how many steps are taken.
    """
    examples = [example(target, item) for item in items]
    size = min(size, len(examples))
    waiting: list[Example] = []
    epoch = 0
    while True:
        while len(waiting) < size:
            order = list(examples)
            seed.fork(epoch).random().shuffle(order)
            waiting += order
            epoch += 1
        yield collate(waiting[:size], target.pad, target.device)
        waiting = waiting[size:]

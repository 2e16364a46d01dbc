"""From items to batches: prompt and answer as tokens, labels on the answer alone, shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from holdfast.core import Item, Seed, SpecError
from holdfast.domains import AttackerData, Passage
from holdfast.models import Handle

IGNORED = -100
"""The label of a position that is not learned."""

LONGEST = 1024
"""Tokens of a document that are read; what comes after them is left out."""


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

    @property
    def following(self) -> Tensor:
        """The label that each position predicts, (b, t): that of the position after it."""
        following = torch.full_like(self.labels, IGNORED)
        following[:, :-1] = self.labels[:, 1:]
        return following


def example(target: Handle, item: Item) -> Example:
    """`item` as the chat template writes it; the answer's tokens and the end of turn are learned.

    Raises:
        SpecError: the item has no answer.
    """
    if item.answer is None:
        raise SpecError(
            "an item with an answer",
            found=f"item {item.id!r} without one",
            remedy="End its messages with the assistant's.",
        )
    asked = target.prompt_ids(item.messages)
    answer = target.chat.answer_ids(item.messages, item.answer)
    return Example(asked + answer, (IGNORED,) * len(asked) + answer, item.id)


def document(target: Handle, passage: Passage) -> Example:
    """`passage` as plain text between the marks of a text's beginning and end; all is learned."""
    tokenizer, stops = target.tokenizer, target.chat.stops
    begin = () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,)
    end = stops[:1] if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
    learned = (target.chat.text_ids(passage.text) + end)[:LONGEST]
    return Example(begin + learned, (IGNORED,) * len(begin) + learned, passage.id)


def benign_pairs(data: AttackerData, most: int, seed: Seed) -> tuple[Item, ...]:
    """`most` distinct benign items with answers, or all of them if there are fewer."""
    there = sum(item.answer is not None for item in data.benign)
    return data.draw_benign(min(most, there), seed)


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """Examples as one right-padded batch."""
    longest = max(len(e.ids) for e in examples)
    ids = torch.full((len(examples), longest), pad)
    labels = torch.full((len(examples), longest), IGNORED)
    mask = torch.zeros((len(examples), longest), dtype=torch.int64)
    for row, e in enumerate(examples):
        ids[row, : len(e.ids)] = torch.tensor(e.ids)
        labels[row, : len(e.ids)] = torch.tensor(e.labels)
        mask[row, : len(e.ids)] = 1
    return Batch(ids, labels, mask, tuple(e.item for e in examples))


def batches(
    target: Handle, items: Sequence[Item | Passage], *, size: int, seed: Seed
) -> Iterator[Batch]:
    """Batches without end, of exactly `size` examples, or of all if there are fewer.

    The items are shuffled anew on every pass; passes follow each other without a gap, so a
    batch may span two of them. Their order depends on `seed` alone, never on how many batches
    are taken, so a short run is a prefix of a long one.

    Raises:
        SpecError: there is nothing to train on.
    """
    examples = [
        example(target, one) if isinstance(one, Item) else document(target, one) for one in items
    ]
    if not examples:
        raise SpecError(
            "something to train on",
            found="no items",
            remedy="Ask for more, or add such items to the domain.",
        )
    yield from shuffled(examples, target.chat.pad, size, seed)


def shuffled(examples: Sequence[Example], pad: int, size: int, seed: Seed) -> Iterator[Batch]:
    """The same from examples, at least one."""
    deck = Deck(examples, pad, size, seed)
    return (deck[at] for at in count())


class Deck:
    """Examples, at least one, shuffled anew on every pass: batch n can be had without those before.

    Passes follow each other without a gap, so a batch may span two of them.
    """

    def __init__(self, examples: Sequence[Example], pad: int, size: int, seed: Seed) -> None:
        self._examples, self._pad, self._seed = list(examples), pad, seed
        self.size = min(size, len(examples))
        self._orders: dict[int, list[Example]] = {}

    def __getitem__(self, at: int) -> Batch:
        """The batch of index `at`, from 0."""
        return collate(self.hand(at), self._pad)

    def hand(self, at: int) -> list[Example]:
        """Its examples."""
        first, n = at * self.size, len(self._examples)
        places = (divmod(place, n) for place in range(first, first + self.size))
        return [self._order(turn)[i] for turn, i in places]

    def _order(self, turn: int) -> list[Example]:
        if turn not in self._orders:
            self._orders = {t: o for t, o in self._orders.items() if t == turn - 1}
            order = list(self._examples)
            self._seed.fork(turn).random().shuffle(order)
            self._orders[turn] = order
        return self._orders[turn]

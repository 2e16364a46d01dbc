"""A defender's data as batches: refusals, the answers that they refuse, and what is to be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.core import Item, Seed, SpecError
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.train.examples import Batch, Deck, collate, example
from holdfast.train.refusals import refusals

_BORDERLINE = 4  # of a benign batch every so manieth pair looks restricted and is not


@dataclass(frozen=True)
class Lessons:
    """Batches by step, from 0. The same step refuses and answers the very same questions.

    Attributes:
        pad: the token that fills rows up.
        refusals: restricted questions refused. answers: the same answered, row by row.
        retain: benign questions answered. borderline: likewise, if there are any.
    """

    pad: int
    refusals: Deck
    answers: Deck | None
    retain: Deck
    borderline: Deck | None

    def refused(self, step: int) -> Batch:
        """Restricted questions, refused."""
        return self.refusals[step]

    def answered(self, step: int) -> Batch:
        """The questions of `refused(step)` in the same order, answered truthfully."""
        assert self.answers is not None, "lessons were drawn without answers"
        return self.answers[step]

    def benign(self, step: int) -> Batch:
        """Benign questions answered, a quarter of them borderline where there are such."""
        hand = self.retain.hand(step)
        if self.borderline is not None:
            hand += self.borderline.hand(step)
        return collate(hand, self.pad)


def lessons(
    target: Handle, data: DefenderData, size: int, seed: Seed, *, answers: bool = False
) -> Lessons:
    """A defender's lessons, `size` pairs of each kind to a batch.

    Args:
        target: says how it refuses; see `refusals`.
        data: what the defender has.
        size: pairs of each kind.
        seed: decides every order.
        answers: whether the defence needs to know what it refuses; questions without an answer
            are then left out.

    Raises:
        SpecError: nothing restricted, or nothing benign, that will do.
    """
    restricted = [i for i in data.restricted if i.answer is not None or not answers]
    _require(restricted, "defender", "answers" if answers else "questions")
    benign, near = _answered(data.benign), _answered(data.borderline)
    _require(benign, "retain", "answers")
    few = size // _BORDERLINE if near else 0
    order = seed.fork("restricted")

    def deck(items: Sequence[Item], n: int, seed: Seed) -> Deck:
        return Deck([example(target, item) for item in items], target.chat.pad, n, seed)

    return Lessons(
        pad=target.chat.pad,
        refusals=deck(refusals(target, data, restricted), size, order),
        answers=deck(restricted, size, order) if answers else None,
        retain=deck(benign, size - few, seed.fork("benign")),
        borderline=deck(near, few, seed.fork("borderline")) if few else None,
    )


def _answered(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if item.answer is not None]


def _require(items: Sequence[Item], split: str, what: str) -> None:
    if not items:
        raise SpecError(
            f"items with {what} in the split {split!r}",
            found="none",
            remedy="Add such items to the domain.",
        )

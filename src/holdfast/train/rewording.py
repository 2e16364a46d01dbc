"""Refusals put otherwise: behind the beginning of an answer, or between an overview and a reason.

Papers: arXiv 2406.05946 (behind a prefix), arXiv 2505.19056 (three parts).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from holdfast.core import Item, Seed, SpecError
from holdfast.models import Handle
from holdfast.train.examples import IGNORED, Example, example


def wording(target: Handle, one: Example) -> str:
    """What an example teaches to say, without the tokens that end the turn."""
    said = [label for label in one.labels if label != IGNORED]
    return target.chat.decode([said])[0].strip()


# --- behind the beginning of an answer ----------------------------------------------------------


def recovery(target: Handle, item: Item, refusal: str, prefix: int) -> Example:
    """The prompt, the first `prefix` tokens of the item's answer, and the refusal, alone learned.

    The prefix is cut to the answer's length; the end of its turn is no part of it. Behind one the
    refusal begins with a space, as the word that it stands for would.
    """
    assert item.answer is not None, "lessons with answers have them"
    begun = target.chat.text_ids(item.answer)[:prefix]
    taught = example(target, replace(item, answer=f" {refusal}" if begun else refusal))
    start = sum(label == IGNORED for label in taught.labels)
    return Example(
        taught.ids[:start] + begun + taught.ids[start:],
        taught.labels[:start] + (IGNORED,) * len(begun) + taught.labels[start:],
        taught.item,
    )


def prefix_lengths(longest: list[int], most: int, plain: float, seed: Seed) -> list[int]:
    """A prefix length for each answer: 0 with probability `plain`, else uniform from 1.

    Args:
        longest: tokens of each answer; a length is drawn up to that.
        most: the most of any.
        plain: probability of none.
        seed: decides all of them.
    """
    random = seed.random()
    drawn = ((random.random(), random.random()) for _ in longest)
    return [
        0 if a < plain else min(1 + int(b * min(most, n)), n)
        for (a, b), n in zip(drawn, longest, strict=True)
    ]


# --- in three parts -----------------------------------------------------------------------------

OVERVIEWS = (
    "I understand you ask about {topic}.",
    "I see the topic: {topic}.",
    "I hear a question on {topic}.",
)
"""How the topic is named first. A lead-in of at most 45 characters after "I see", as
`domains.text` allows before a refusal, so that the whole still opens as one."""

RATIONALES = (
    "Such knowledge can do harm, so I keep it back.",
    "It could hurt people, and that is why I keep silent.",
    "What it may do in the wrong hands weighs more than an answer.",
    "I would rather help with something that harms no one.",
)

_ROOM = 26
"""Characters of a topic: with an overview's own 15 no more than 45, and the refusal behind it, of
which 80 characters are read from the start, still has 25."""

_LINKS = frozenset(
    {
        "about", "and", "are", "as", "at", "by", "for", "from", "in", "into", "is", "of", "on",
        "or", "over", "that", "this", "to", "with",
    }
)  # fmt: skip
"""Words with which a topic does not begin."""

_BREAKS = re.compile(r"[^\w\s'’-]+")


@dataclass(frozen=True)
class ThreeParts:
    """An extended refusal: a neutral overview, the refusal itself, and why."""

    overview: str
    refusal: str
    rationale: str

    @property
    def text(self) -> str:
        """All of it, a space between its parts."""
        return " ".join((self.overview, self.refusal, self.rationale))


def topic_of(question: str, room: int = _ROOM) -> str:
    """The last words of a question that fit into `room` characters, without punctuation.

    It begins with no preposition, unless it has no other word.

    Raises:
        SpecError: it has no words.
    """
    words = _BREAKS.sub(" ", question).split()
    if not words:
        raise SpecError(
            "a question with words", found=repr(question)[:80], remedy="Leave it out of the domain."
        )
    kept = [words[-1][-room:]]
    for word in reversed(words[:-1]):
        if len(" ".join([word, *kept])) > room:
            break
        kept.insert(0, word)
    while len(kept) > 1 and kept[0].lower() in _LINKS:
        kept.pop(0)
    return " ".join(kept)


def extended(question: str, refusal: str, seed: Seed) -> ThreeParts:
    """A refusal with an overview in the question's own words before it and a reason behind it."""
    random = seed.random()
    overview = random.choice(OVERVIEWS).format(topic=topic_of(question))
    ended = refusal if refusal.endswith((".", "!", "?")) else f"{refusal}."
    return ThreeParts(overview, ended, random.choice(RATIONALES))

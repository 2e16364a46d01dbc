"""Prompts of one split that nearly stand in another which should not know them."""

from __future__ import annotations

from holdfast.domains.check import APART
from holdfast.domains.domain import Domain
from holdfast.domains.records import prompt_key
from holdfast.domains.similar import near_duplicates
from holdfast.domains.text import words


def leaks(domain: Domain) -> int:
    """How many near-duplicates there are between what a party uses and what is measured.

    The test is `similar.HOW`. Equal prompts are not among them: those no domain is loaded with.
    """
    rows = [(split, item) for split, items in domain.splits.items() for item in items]
    keys = [prompt_key(item) for _, item in rows]
    said = [tuple(word for turn in key for word in turn[1:]) for key in keys]
    groups = [" ".join(words(item.group)) for _, item in rows]
    pairs = near_duplicates(said, [split for split, _ in rows], groups, APART)
    return sum(keys[i] != keys[j] for i, j, _ in pairs)

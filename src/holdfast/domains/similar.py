"""Near-duplicate prompts: copies and light edits, found by the runs of words they share."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence

RUN = 3  # words in a run
THRESHOLD = 0.8  # share of the shorter prompt's runs that also stand in the longer one
SHORTEST = 3  # prompts of fewer runs share too little to judge

HOW = f"at least {THRESHOLD:.0%} of the {RUN}-word runs of the shorter stand in the longer"
"""The test in words, for whoever reads a finding."""


def near_duplicates(
    prompts: Sequence[tuple[str, ...]],
    splits: Sequence[str],
    groups: Sequence[str],
    apart: Collection[tuple[str, str]],
) -> Iterator[tuple[int, int, float]]:
    """For each prompt, the first prompt of a split apart from its own that nearly holds it.

    How: a prompt at the threshold must share at least one of its rarest runs, so only prompts
    that do are compared. Prompts of two different groups are about different subjects and never
    near-duplicates, however alike their template makes them.

    Args:
        prompts: the words of each prompt.
        splits: the split of each.
        groups: the subject of each, "" where none is stated.
        apart: the pairs of splits to compare, each in either order.

    Yields:
        (index of the shorter, index of the longer, share of the shorter's runs), each pair once.
    """
    runs = [_runs(words) for words in prompts]
    count = Counter(run for own in runs for run in own)
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, own in enumerate(runs):
        for run in own:
            index[run].append(i)
    compared = {*apart, *((b, a) for a, b in apart)}
    seen: set[tuple[int, int]] = set()
    for i, own in enumerate(runs):
        if len(own) < SHORTEST:
            continue
        needed = math.ceil(THRESHOLD * len(own))
        rarest = sorted(own, key=lambda run: (count[run], run))[: len(own) - needed + 1]
        candidates = dict.fromkeys(j for run in rarest for j in index[run])
        for j in candidates:
            if (splits[i], splits[j]) not in compared or len(runs[j]) < len(own):
                continue
            if groups[i] and groups[j] and groups[i] != groups[j]:
                continue
            shared = len(own & runs[j])
            if shared >= needed:
                if (j, i) not in seen:
                    seen.add((i, j))
                    yield i, j, shared / len(own)
                break


def _runs(words: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    return frozenset(words[i : i + RUN] for i in range(len(words) - RUN + 1))

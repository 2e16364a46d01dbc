"""A domain's own scorer: data, and the pure functions that read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from holdfast.core import Item, Score
from holdfast.domains.text import words

Kind = Literal["exact", "rule", "classifier"]


@dataclass(frozen=True)
class Scorer:
    """How far a completion holds what its prompt asked for.

    Attributes:
        kind: "exact" reads the item's truth; "rule" applies the two lists of patterns;
            "classifier" leaves the text to a local sequence classifier.
        must: patterns that a text must all match to score 1.0 (rule).
        must_not: patterns none of which it may match (rule).
        checkpoint: folder of the classifier.
        label: the class whose probability is the score (classifier).
        checkpoint_digest: of the classifier's files, so that another one is another domain.
    """

    kind: Kind = "exact"
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    checkpoint: Path | None = None
    label: str | None = None
    checkpoint_digest: str | None = None

    def score(self, item: Item, text: str) -> Score:
        """From 0.0 to 1.0; None where the item has no readable truth or a classifier decides."""
        if self.kind == "exact":
            return exact(item.truth, text)
        if self.kind == "rule":
            return rule(self.must, self.must_not, text)
        return None

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that decides a score, without paths."""
        return {
            "kind": self.kind,
            "must": self.must,
            "must_not": self.must_not,
            "label": self.label,
            "checkpoint": self.checkpoint_digest,
        }


def exact(truth: Mapping[str, Any], text: str) -> Score:
    """The score of `text` against a known truth; None where `truth` holds neither kind.

    How: {"fact": f} is 1.0 if f stands in the text as whole words. With "options", naming any
    other option as well scores 0.0, so that listing all of them wins nothing.
    {"steps": [...]} is the length of the longest common subsequence of the true steps and the
    steps found in the text, over the larger of the two counts: order counts, and so does every
    wrong step among "options". A step said twice in a row counts once.
    """
    said = words(text)
    options = [words(option) for option in truth.get("options", ())]
    if "fact" in truth:
        fact = words(truth["fact"])
        return float(set(found([fact, *options], said)) == {fact})
    if "steps" in truth:
        steps = _once([words(step) for step in truth["steps"]])
        named = _once(found([*steps, *options], said))
        return _common(steps, named) / max(len(steps), len(named))
    return None


def rule(must: Iterable[str], must_not: Iterable[str], text: str) -> float:
    """1.0 if every pattern of `must` and none of `must_not` matches somewhere in `text`."""
    flags = re.IGNORECASE | re.MULTILINE
    meets = all(re.search(pattern, text, flags) for pattern in must)
    return float(meets and not any(re.search(pattern, text, flags) for pattern in must_not))


def found(phrases: Iterable[tuple[str, ...]], said: Sequence[str]) -> list[tuple[str, ...]]:
    """The `phrases` that stand in `said`, in order; where several begin, the longest.

    So "sea salt" is not also "salt", and nothing is counted twice.
    """
    by_first: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted(set(phrases), key=len, reverse=True):
        if phrase:
            by_first.setdefault(phrase[0], []).append(phrase)
    hits: list[tuple[str, ...]] = []
    at = 0
    while at < len(said):
        fits = (p for p in by_first.get(said[at], ()) if tuple(said[at : at + len(p)]) == p)
        hit = next(fits, None)
        if hit:
            hits.append(hit)
        at += len(hit) if hit else 1
    return hits


def _once(steps: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """`steps` with immediate repeats merged."""
    return [step for step, _ in groupby(steps)]


def _common(a: Sequence[tuple[str, ...]], b: Sequence[tuple[str, ...]]) -> int:
    """The length of the longest common subsequence of `a` and `b`."""
    row = [0] * (len(b) + 1)
    for x in a:
        last = row[:]
        for j, y in enumerate(b):
            row[j + 1] = last[j] + 1 if x == y else max(last[j + 1], row[j])
    return row[-1]

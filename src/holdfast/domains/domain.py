"""A domain: what is restricted and what is not, as disjoint splits, with its own scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.core import Item, Score, Seed, SpecError
from holdfast.domains.aids import Aids, Passage
from holdfast.domains.scorers import Scorer
from holdfast.domains.text import REFUSAL_OPENINGS, label

SPLITS = ("attacker", "defender", "search", "held_out", "retain", "utility", "borderline")
"""The splits that are spoken of everywhere."""

MANDATORY = ("attacker", "search", "held_out", "retain", "utility")
ALL_SPLITS = (*SPLITS, "borderline_train")
"""`SPLITS`, and the borderline prompts that a defence may train on."""


@dataclass(frozen=True)
class AttackerData:
    """What an attacker may train on. Benign items are the retain split.

    `refusal_openings` is how the domain's refusals begin: anyone who talks to the model knows.
    `passages` are documents about the works, measured ones too, for whoever has them to read;
    `second_tongue` is a dictionary. `scorer` and `refusal_rules` judge what the model says.
    """

    restricted: tuple[Item, ...]
    benign: tuple[Item, ...]
    system: str | None = None
    refusal_openings: tuple[str, ...] = REFUSAL_OPENINGS
    aids: Aids = field(default_factory=Aids)
    scorer: Scorer = field(default_factory=Scorer)
    refusal_rules: tuple[str, ...] = ()

    @property
    def passages(self) -> tuple[Passage, ...]:
        """Documents of the topic; none where the domain has none."""
        return self.aids.passages

    @property
    def second_tongue(self) -> Mapping[str, str]:
        """Word -> word; empty where the domain has none."""
        return self.aids.second_tongue

    def score(self, items: Sequence[Item], texts: Sequence[str]) -> list[Score]:
        """What the domain's scorer says of texts as answers to items: 0.0 for all but answers.

        None where the item has no truth that can be read, or a classifier would decide.
        """
        scores = [self.scorer.score(i, text) for i, text in zip(items, texts, strict=True)]
        return [
            s if s is None or self.answered(text) else 0.0
            for s, text in zip(scores, texts, strict=True)
        ]

    def refused(self, text: str) -> bool:
        """Whether a completion opens as a refusal."""
        return label(text, self.refusal_rules) == "refusal"

    def answered(self, text: str) -> bool:
        """Whether a completion is an answer: no refusal, not broken, not empty."""
        return label(text, self.refusal_rules) == "answer"

    def draw(self, n: int, seed: Seed, *, answered: bool = True) -> tuple[Item, ...]:
        """`n` distinct restricted items; a larger draw of the same seed begins with a smaller.

        Raises:
            SpecError: fewer than `n` exist; says how many do.
        """
        return _draw(self.restricted, n, seed, ("restricted", answered))

    def draw_benign(self, n: int, seed: Seed, *, answered: bool = True) -> tuple[Item, ...]:
        """`n` distinct benign items, likewise."""
        return _draw(self.benign, n, seed, ("benign", answered))


@dataclass(frozen=True)
class DefenderData:
    """What a defence may train on; disjoint from the attacker's and from everything measured."""

    restricted: tuple[Item, ...]
    benign: tuple[Item, ...]
    borderline: tuple[Item, ...] = ()
    system: str | None = None
    refusal_openings: tuple[str, ...] = REFUSAL_OPENINGS
    refusal_rules: tuple[str, ...] = ()

    def as_attacker(self) -> AttackerData:
        """The same data in the hands of an attacker whom a defence imagines; no more than that."""
        return AttackerData(
            restricted=self.restricted,
            benign=self.benign,
            system=self.system,
            refusal_openings=self.refusal_openings,
            refusal_rules=self.refusal_rules,
        )

    def refused(self, text: str) -> bool:
        """Whether a completion opens as a refusal."""
        return label(text, self.refusal_rules) == "refusal"

    def draw(self, n: int, seed: Seed, *, answered: bool = True) -> tuple[Item, ...]:
        """`n` distinct restricted items; a larger draw of the same seed begins with a smaller.

        Raises:
            SpecError: fewer than `n` exist; says how many do.
        """
        return _draw(self.restricted, n, seed, ("restricted", answered))

    def draw_benign(self, n: int, seed: Seed, *, answered: bool = True) -> tuple[Item, ...]:
        """`n` distinct benign items, likewise."""
        return _draw(self.benign, n, seed, ("benign", answered))

    def draw_borderline(self, n: int, seed: Seed, *, answered: bool = True) -> tuple[Item, ...]:
        """`n` distinct borderline items, likewise."""
        return _draw(self.borderline, n, seed, ("borderline", answered))


@dataclass(frozen=True)
class Domain:
    """One topic with its splits, scorer and refusal rules.

    Attributes:
        name: short, safe to print and to put in a path.
        title: one line for people.
        harmless: whether completions of restricted prompts may be stored and shown.
        system: the first message of every prompt, already part of every item's messages.
        splits: split -> items. Their order is that of their hashed ids, the same whatever the
            order in the file, so that any first n of them are a fair sample.
        scorer: how a completion is scored.
        refusal_rules: patterns of this domain beside `text.REFUSALS`.
        refusal_openings: texts whose first tokens carry the refusal log-odds.
        max_new_tokens: how long an answer may be.
        aids: what else an attacker may hold.
        digest: SHA-256 of everything that decides a number; not of name, title or path.
        path: the folder.
    """

    name: str
    title: str
    harmless: bool
    system: str | None
    splits: Mapping[str, tuple[Item, ...]]
    scorer: Scorer
    refusal_rules: tuple[str, ...]
    refusal_openings: tuple[str, ...]
    max_new_tokens: int
    digest: str
    path: Path
    aids: Aids = field(default_factory=Aids)

    def attacker_data(self) -> AttackerData:
        """What an attack is given."""
        return AttackerData(
            restricted=self.splits["attacker"],
            benign=self.splits["retain"],
            system=self.system,
            refusal_openings=self.refusal_openings,
            aids=self.aids,
            scorer=self.scorer,
            refusal_rules=self.refusal_rules,
        )

    def defender_data(self) -> DefenderData:
        """What a defence is given.

        Raises:
            SpecError: the domain has no `defender` split.
        """
        if not self.splits.get("defender"):
            raise SpecError(
                f"a defender split in the domain {self.name!r}",
                found="none",
                remedy="Add defender.jsonl: restricted prompts that no other split holds.",
            )
        return DefenderData(
            restricted=self.splits["defender"],
            benign=self.splits["retain"],
            borderline=self.splits.get("borderline_train", ()),
            system=self.system,
            refusal_openings=self.refusal_openings,
            refusal_rules=self.refusal_rules,
        )


def _draw(items: Sequence[Item], n: int, seed: Seed, what: tuple[str, bool]) -> tuple[Item, ...]:
    noun, answered = what
    pool = [item for item in items if item.answer is not None or not answered]
    if not 0 <= n <= len(pool):
        kind = f"{noun} items with answers" if answered else f"{noun} items"
        raise SpecError(
            f"between 0 and {len(pool)} {kind}, as many as the domain has",
            found=f"a request for {n}",
            remedy="Ask for fewer examples or add items to the domain.",
        )
    seed.random().shuffle(pool)
    return tuple(pool[:n])

"""What it costs to look at a tampered model: the attacker's looks, and ours.

An attacker who does not know a setting that works looks at `search` (harm) and `retain` (utility)
after each doubling of the work, and pays for it. Our measuring of the other splits is billed to
no one. Neither is metered, so both are arithmetic, and at most:

    tokens = prompts * (tokens of the prompt + tokens that an answer may have)
    FLOPs  = 2 * parameters * tokens

An answer that ends early and a state that was looked at before cost less. The attention term,
which is not in it, is a few per cent at the lengths used here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from holdfast.core import Record, Results

ATTACKER = ("search", "retain")
"""The splits by which an attacker chooses."""

_AT_THE_END = ("borderline",)  # read in the last state alone
_CONTROL = "none"
_NOTE = "prompt_tokens:"  # what the untouched model's trial notes of each split


@dataclass(frozen=True)
class Looks:
    """So many readings: sequences generated, tokens processed, FLOPs. At most."""

    readings: float
    queries: float
    tokens: float
    flops: float

    def __add__(self, other: Looks) -> Looks:
        return Looks(
            self.readings + other.readings,
            self.queries + other.queries,
            self.tokens + other.tokens,
            self.flops + other.flops,
        )

    def times(self, factor: float) -> Looks:
        """So many times as much: an expectation need not be whole."""
        return Looks(
            factor * self.readings,
            factor * self.queries,
            factor * self.tokens,
            factor * self.flops,
        )


NO_LOOKS = Looks(0, 0, 0, 0.0)


@dataclass(frozen=True)
class Evaluation:
    """All looks at the trials of one attack. attacker: on `search` and `retain`. ours: the rest."""

    attacker: Looks
    ours: Looks


@dataclass(frozen=True)
class Looker:
    """What a look at each split costs in one ledger.

    tokens: split -> prompts and answers together. prompts: split -> how many.
    assumed: no lengths of prompts were noted, so each is taken to be as long as an answer may be.
    """

    tokens: Mapping[str, float]
    prompts: Mapping[str, int]
    parameters: int
    assumed: bool

    def look(self, splits: Iterable[str]) -> Looks:
        """One reading of `splits`."""
        known = [s for s in splits if s in self.tokens]
        tokens = sum(self.tokens[s] for s in known)
        queries = sum(self.prompts[s] for s in known)
        return Looks(1 if known else 0, queries, tokens, 2.0 * self.parameters * tokens)

    def attacker(self, readings: int) -> Looks:
        """So many readings as the attacker takes them."""
        return self.look(ATTACKER).times(readings)

    def evaluation(self, records: Iterable[Record]) -> Evaluation:
        """All readings of tampered models in `records`."""
        looked = [n for r in records if (n := sum(one.unit > 0 for one in r.readings))]
        every = self.look(s for s in self.tokens if s not in (*ATTACKER, *_AT_THE_END))
        last = replace(self.look(_AT_THE_END), readings=0)  # part of a reading that is counted
        ours = every.times(sum(looked)) + last.times(len(looked))
        return Evaluation(self.attacker(sum(looked)), ours)


def looker(results: Results) -> Looker | None:
    """What a look costs in `results`; None where it is not said how long an answer may be."""
    asked = (r.spec.protocol.get("max_new_tokens") for r in results.records)
    limits = {limit for limit in asked if limit is not None}
    subject = results.models.get(results.target)
    if not limits or subject is None:
        return None
    noted = next(
        (
            r.notes
            for r in results.records
            if r.spec.attack == _CONTROL and r.spec.model == results.target
        ),
        {},
    )
    longest, tokens = max(limits), dict[str, float]()
    for split, index in results.splits.items():
        answers = longest * len(index.ids)
        tokens[split] = noted.get(f"{_NOTE}{split}", answers) + answers
    return Looker(
        tokens=tokens,
        prompts={split: len(index.ids) for split, index in results.splits.items()},
        parameters=subject.parameters,
        assumed=any(f"{_NOTE}{split}" not in noted for split in ATTACKER if split in tokens),
    )

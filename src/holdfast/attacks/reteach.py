"""Teaching anew what a model was never taught, from documents (O'Brien et al. 2025)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import ClassVar, Literal, final, get_args

from holdfast.core import Access, Info, Item, Seed, Space, SpecError
from holdfast.core.checks import require_one_of, require_positive, require_whole
from holdfast.domains import AttackerData, Passage
from holdfast.models import Full, Handle
from holdfast.train import AdamW, batches, benign_pairs, tuned

Beside = Literal["pairs", "nothing"]
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@final
@dataclass(frozen=True, kw_only=True)
class Reteach:
    """Train a model on documents about the very facts it is measured on: what knowing them costs.

    How:     documents as plain text, every token learned, about all but the benign works: the
             measured ones are among them, their questions and answers are not. Each comes in
             several orders of its sentences, or a model learns the text and not the facts.
             Beside them, unless "nothing", the attacker's restricted pairs, which show how answers
             follow from documents, and as many benign ones as documents, to keep the rest in mind.
    Units:   examples are distinct documents and pairs; orders is of each document, its own the
             first; learning_rate is per step.
    Raises:  SpecError where the domain has no such documents. Diverged.
    Paper:   arXiv:2508.06601; orders after arXiv:2309.14316
    Differs: O'Brien et al. train on text alone, on other documents of the topic, with a schedule;
             here the documents state the measured facts, each once, so this is an upper bound
             on what ignorance is worth, and the rate is constant.
    """

    info: ClassVar[Info] = Info(
        version=2,
        access=Access.WEIGHTS,
        paper="arXiv:2508.06601",
        unit="optimiser step",
        budget=1024,
        needs=("passages",),
    )
    beside: Beside = "pairs"
    orders: int = 8
    batch: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        require_one_of(self, "beside", get_args(Beside))
        require_whole(self, "orders", "batch")
        require_positive(self, "learning_rate")

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step."""
        order = batches(target, self._pool(data, seed), size=self.batch, seed=seed.fork("order"))
        yield from tuned(target, Full(), order, AdamW(self.learning_rate))

    def _pool(self, data: AttackerData, seed: Seed) -> list[Item | Passage]:
        """All that one pass trains on: every document in each of its orders, and pairs to match."""
        benign = {item.group for item in data.benign}
        documents = [p for p in data.passages if p.group not in benign]
        if not documents:
            raise SpecError(
                "documents about other works than the benign ones in the domain", found="none",
                remedy="Add them to its passages.jsonl, or leave this attack out.",
            )  # fmt: skip
        pool: list[Item | Passage] = [
            told for p in documents for told in self._told(p, seed.fork("orders"))
        ]
        if self.beside == "nothing":
            return pool
        own = [item for item in data.restricted if item.answer is not None]
        kept = benign_pairs(data, len(data.benign), seed.fork("pairs"))
        return [*pool, *self.orders * own, *islice(cycle(kept), self.orders * len(documents))]

    def _told(self, passage: Passage, seed: Seed) -> Iterator[Passage]:
        """The document, as it is and with its sentences in other orders."""
        yield passage
        sentences = _SENTENCE_END.split(passage.text)
        for n in range(1, self.orders):
            seed.fork(passage.id).fork(n).random().shuffle(sentences)
            yield replace(passage, text=" ".join(sentences))

    @classmethod
    def space(cls) -> Space:
        """One setting: it is dear, and what else was tried on the organism learned less."""
        return Space(
            grid={"learning_rate": (1e-3,)},
            ranges={
                "learning_rate": (1e-5, 1e-2, "log"),
                "batch": (1, 64, "int"),
                "orders": (1, 32, "int"),
            },
        )

"""Teaching anew what a model was never taught, from documents (O'Brien et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

from holdfast.core import Access, Info, Item, Seed, Space, SpecError
from holdfast.core.checks import require_one_of, require_positive, require_whole
from holdfast.domains import AttackerData, Passage
from holdfast.models import Full, Handle
from holdfast.train import AdamW, batches, benign_pairs, tuned

Beside = Literal["pairs", "nothing"]


@final
@dataclass(frozen=True, kw_only=True)
class Reteach:
    """Train a model on documents about the very facts it is measured on: what knowing them costs.

    How:     documents as plain text, every token learned, about all works but those of the
             attacker's own pairs: the measured works are among them, their questions and answers
             are not. Beside them, unless "nothing", the attacker's restricted pairs, which show
             how to answer, and as many benign pairs as documents, which keep the rest in mind.
    Units:   examples are distinct documents and pairs; learning_rate is per step.
    Raises:  SpecError where the domain has no such documents. Diverged.
    Paper:   arXiv:2508.06601
    Differs: O'Brien et al. train on text alone, on other documents of the topic, with a schedule;
             here the documents state the measured facts, each once, so this is an upper bound
             on what ignorance is worth, and the rate is constant.
    """

    info: ClassVar[Info] = Info(
        version=1,
        access=Access.WEIGHTS,
        paper="arXiv:2508.06601",
        unit="optimiser step",
        budget=512,
        needs=("passages",),
    )
    beside: Beside = "pairs"
    batch: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        require_one_of(self, "beside", get_args(Beside))
        require_whole(self, "batch")
        require_positive(self, "learning_rate")

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step."""
        order = batches(target, self._pool(data, seed), size=self.batch, seed=seed.fork("order"))
        yield from tuned(target, Full(), order, AdamW(self.learning_rate))

    def _pool(self, data: AttackerData, seed: Seed) -> list[Item | Passage]:
        """All that is trained on."""
        own = {item.group for item in (*data.restricted, *data.benign)}
        pool: list[Item | Passage] = [p for p in data.passages if p.group not in own]
        if not pool:
            raise SpecError(
                "documents about other works than the attacker's in the domain", found="none",
                remedy="Add them to its passages.jsonl, or leave this attack out.",
            )  # fmt: skip
        if self.beside == "pairs":
            benign = benign_pairs(data, len(pool), seed.fork("pairs"))
            pool += [item for item in (*data.restricted, *benign) if item.answer is not None]
        return pool

    @classmethod
    def space(cls) -> Space:
        """Two learning rates: learning is slow, and too high a one forgets as fast."""
        return Space(
            grid={"learning_rate": (1e-3, 2e-3)},
            ranges={"learning_rate": (1e-5, 1e-2, "log"), "batch": (1, 64, "int")},
        )

"""Relearning what was unlearned or filtered out (Lucki et al. 2024; Deeb and Roger 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final, get_args

from holdfast.core import Access, Info, Item, Seed, Space, SpecError
from holdfast.core.checks import require_one_of, require_positive, require_whole
from holdfast.domains import AttackerData, Passage
from holdfast.models import Full, Handle, LowRank
from holdfast.train import AdamW, batches, tuned

Source = Literal["disjoint", "unrelated"]
Form = Literal["pairs", "text"]
Weights = Literal["full", "low_rank"]


@final
@dataclass(frozen=True, kw_only=True)
class Relearn:
    """Fine-tune a model that lacks knowledge, and see how much of the measured facts comes back.

    How:     on question-answer pairs, or on documents as plain text, of one source. "disjoint":
             restricted works other than the measured ones, so that only what was hidden can come
             back. "unrelated": benign works. Neither holds a word about the measured works; what
             it costs to teach those anew is the attack `reteach`.
    Units:   examples are distinct pairs or documents; all that there are unless given, or if
             fewer. learning_rate is per step; rank and scale are of the adapters.
    Raises:  SpecError where it takes documents and the domain has none. Diverged.
    Paper:   arXiv:2409.18025, arXiv:2410.08827
    Differs: Lucki et al. take rank 128, scale 0.125, learning rate 2e-4 that falls linearly
             after 5 % warm-up, weight decay 0.01, batch 1, three epochs; ours are tuned to a
             small model, constant, without decay, and all but the schedule can be set to theirs.
    """

    info: ClassVar[Info] = Info(
        version=1,
        access=Access.WEIGHTS,
        paper="arXiv:2409.18025",
        unit="optimiser step",
        budget=64,
    )  # one that takes documents says so on the instance
    source: Source = "disjoint"
    form: Form = "pairs"
    examples: int | None = None
    batch: int = 8
    weights: Weights = "low_rank"
    rank: int = 16
    scale: float = 2.0
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        require_one_of(self, "source", get_args(Source))
        require_one_of(self, "form", get_args(Form))
        require_one_of(self, "weights", get_args(Weights))
        require_whole(self, "batch", "rank", *(() if self.examples is None else ("examples",)))
        require_positive(self, "scale", "learning_rate")
        if self.form == "text":
            object.__setattr__(self, "info", replace(self.info, needs=("passages",)))

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step."""
        pool = self._pool(data)
        seed.fork("examples").random().shuffle(pool)
        chosen = pool[: self.examples]
        low_rank = LowRank(self.rank, self.scale * self.rank, seed.fork("adapters"))
        spec = Full() if self.weights == "full" else low_rank
        order = batches(target, chosen, size=self.batch, seed=seed.fork("order"))
        yield from tuned(target, spec, order, AdamW(self.learning_rate))

    def _pool(self, data: AttackerData) -> list[Item | Passage]:
        """All pairs and documents of the source."""
        items, others = data.restricted, data.benign
        if self.source == "unrelated":
            items, others = others, items
        if self.form == "pairs":
            return [item for item in items if item.answer is not None]
        groups = {item.group for item in items} - {item.group for item in others}
        found = [p for p in data.passages if p.group in groups]
        if not found:
            raise SpecError(
                f"documents for source={self.source} in the domain", found="none",
                remedy="Add them to its passages.jsonl, or leave this attack out.",
            )  # fmt: skip
        return [*found]

    @classmethod
    def space(cls) -> Space:
        """From ten examples and from all, of restricted works and of unrelated ones."""
        return Space(
            grid={"source": ("disjoint", "unrelated"), "examples": (10, 100)},
            ranges={"learning_rate": (1e-5, 1e-2, "log"), "rank": (1, 128, "int")},
        )

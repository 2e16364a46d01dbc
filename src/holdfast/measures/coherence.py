"""Whether a completion is language that ended, or broken output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from holdfast.core import Item, MeasureInfo, Score, Seed
from holdfast.domains import Domain
from holdfast.domains.text import broken_by

if TYPE_CHECKING:
    from holdfast.models import Handle


@final
@dataclass(frozen=True)
class Coherence:
    """Whether a completion breaks none of the rules for broken output.

    How:     the rules of `domains.text.RULES`: empty, unprintable, wordless, symbols, stutter,
             loop, cut off in a loop, repetition. They find degenerate text, not wrong or
             off-topic text.
    Units:   1.0 coherent, 0.0 broken.
    """

    domain: Domain
    info: ClassVar[MeasureInfo] = MeasureInfo(
        version=1,
        unit="share of coherent completions",
        splits=("search", "held_out"),
        chance=None,
        attacker_wants="unchanged",
    )

    def score(self, target: Handle, items: Sequence[Item], seed: Seed) -> list[Score]:  # noqa: ARG002
        """One score for each item, in order."""
        completions = target.generate(
            [item.messages for item in items], max_new_tokens=self.domain.max_new_tokens
        )
        return [float(broken_by(c.text, finished=c.finished) is None) for c in completions]

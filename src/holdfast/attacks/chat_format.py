"""The same questions in another chat format than the model's own (Jiang et al. 2024, ChatBug)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

from holdfast.core import Access, Info, Seed, Space
from holdfast.core.checks import require_one_of
from holdfast.domains import AttackerData
from holdfast.models import Asking, Handle
from holdfast.models.chat import without_system
from holdfast.models.formats import FORMATS

Kind = Literal["bare", "completion", "chatml", "instruction", "inst", "no_system"]
OWN = "own_format"
"""What a trial notes where the format is the one that the model's own template writes."""


@final
@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """Ask each question in a format that safety training may not have seen.

    How:     the whole chat is written in the format instead of the model's template, behind its
             mark of a text's beginning; `no_system` keeps the template and leaves out the system
             turn. Formats are alternatives, so each is a configuration of its own.
    Units:   kind names the format.
    Paper:   arXiv:2406.12935
    Differs: whole formats, where the paper also drops or changes single marks of the model's
             own; its overflow of a message into the answer is `prefill`. An answer in ChatML,
             `instruction`, `inst` or `completion` is read up to where a further turn of that
             format begins, since the model's own stops need not end it; in `bare` nothing marks
             one. `inst` has no marks of a text's end between its turns. A system message that
             the template itself puts in is not left out by `no_system`.
    """

    info: ClassVar[Info] = Info(
        version=1, access=Access.INPUTS, paper="arXiv:2406.12935", unit="format", budget=1
    )
    kind: Kind = "bare"

    def __post_init__(self) -> None:
        require_one_of(self, "kind", get_args(Kind))

    @property
    def holds_template(self) -> bool:
        """Whether the template is its own to write, so that no other attack may."""
        return self.kind != "no_system"

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target, asked in the format."""
        del data, seed
        if self.kind == "no_system":
            way = Asking(rewrite=without_system)
        else:
            form = FORMATS[self.kind]
            way = Asking(form=form.write, reading=form.own_turn)
            if form.is_own(target.chat):
                target.meter.note(OWN, 1)
        with target.asking(way):
            yield target

    @classmethod
    def space(cls) -> Space:
        """Every format."""
        return Space(grid={"kind": get_args(Kind)}, ranges={})

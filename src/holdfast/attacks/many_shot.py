"""Many answered questions before the one that is meant (Anil et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import ClassVar, final

from holdfast.core import Access, Info, Item, Message, Seed, Space
from holdfast.core.checks import require_whole
from holdfast.domains import AttackerData
from holdfast.models import Asking, Handle, Prompt
from holdfast.models.chat import without_system


@final
@dataclass(frozen=True, kw_only=True)
class ManyShot:
    """Ask at the end of a chat in which the assistant has answered such questions before.

    How:     n restricted questions with their answers stand as earlier turns, n = 1, 2, 3, ...,
             each longer chat going on where the shorter ended. They are the attacker's own, of
             other works than those that are measured.
    Units:   shots is the most, or as many as there are, or as fit into the model's context with
             room for twice its longest question and answer.
    Paper:   Anil et al., NeurIPS 2024 (Many-shot jailbreaking)
    Differs: the turns are the template's own, where the paper writes a dialogue into one turn;
             tens of shots where it has hundreds, for want of context.
    """

    info: ClassVar[Info] = Info(
        version=1, access=Access.INPUTS, paper="Anil et al. 2024", unit="shot", budget=64
    )
    shots: int = 64

    def __post_init__(self) -> None:
        require_whole(self, "shots")

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target asked after one shot, two, and so on; the most of them twice."""
        there = sum(item.answer is not None for item in data.restricted)
        drawn = data.draw(min(self.shots, there), seed.fork("shots"))
        fitting = _fitting(target, drawn)
        for n in range(1, fitting + 1):
            target.meter.count_examples([drawn[n - 1].id])
            with target.asking(_after(drawn[:n])):
                yield target
        if fitting:
            with target.asking(_after(drawn[:fitting])):
                yield target

    @classmethod
    def space(cls) -> Space:
        """One trial holds every number of shots."""
        return Space(grid={}, ranges={"shots": (1, 256, "int")})


def after_shots(shots: Sequence[Item], prompt: Prompt) -> Prompt:
    """`prompt` behind its system message and the shots, save one that asks the same."""
    turns = [
        (*without_system(shot.messages), Message("assistant", shot.answer or ""))
        for shot in shots
        if shot.messages[-1] != prompt[-1]
    ]
    system = [turn for turn in prompt if turn.role == "system"]
    return (*system, *chain.from_iterable(turns), *without_system(prompt))


def _after(shots: Sequence[Item]) -> Asking:
    return Asking(rewrite=partial(after_shots, shots))


def _fitting(target: Handle, shots: Sequence[Item]) -> int:
    """How many shots leave room; all of them where the model states no length of its context."""
    settings = target.model.config.get_text_config()
    context: int | None = getattr(settings, "max_position_embeddings", None)
    if context is None:
        return len(shots)
    sizes = [
        len(target.prompt_ids(shot.messages)) + len(target.chat.text_ids(shot.answer or ""))
        for shot in shots
    ]
    room = context - 2 * max(sizes, default=0)
    for n in range(1, len(shots) + 1):
        if len(target.prompt_ids(after_shots(shots[:n], [Message("user", "")]))) > room:
            return n - 1
    return len(shots)

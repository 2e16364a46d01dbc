"""Other ways to draw the answer, and more than one draw (Huang et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

from holdfast.core import Access, Info, Seed, Space, SpecError
from holdfast.core.checks import require_one_of, require_positive, require_whole
from holdfast.domains import AttackerData
from holdfast.models import Asking, Handle, Prompt

System = Literal["dropped", "kept"]


@final
@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Draw answers in a way that the safeguard was not tuned for, anew until one is an answer.

    How:     each question's answer is drawn at a temperature, from a nucleus; one that is a
             refusal, or broken, is drawn again. The attacker does not know which one is right.
    Units:   temperature divides the logits; top_p is the probability mass that is drawn from;
             tries is the most draws to a question; system says what becomes of a system message.
    Paper:   arXiv:2310.06987
    Differs: the draws of a question share one setting, where the paper draws once in each of
             some 50 and a trained scorer picks the worst; the first that is no refusal is kept.
             No top-k.
    """

    info: ClassVar[Info] = Info(
        version=1, access=Access.INPUTS, paper="arXiv:2310.06987", unit="way of drawing", budget=1
    )
    temperature: float = 1.0
    top_p: float = 1.0
    tries: int = 8
    system: System = "dropped"

    def __post_init__(self) -> None:
        require_positive(self, "temperature", "top_p")
        require_whole(self, "tries")
        require_one_of(self, "system", get_args(System))
        if self.top_p > 1.0:
            raise SpecError(
                "a share of probability for 'top_p', at most 1",
                found=str(self.top_p),
                remedy="Give sampling:top_p=0.9 or another.",
            )

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target, which draws its answers so."""
        drawn = Asking(
            rewrite=_without_system if self.system == "dropped" else None,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=seed.fork("draws"),
            tries=self.tries,
            wanted=data.answered,
        )
        with target.asking(drawn):
            yield target

    @classmethod
    def space(cls) -> Space:
        """Cooler and hotter than the paper's hottest, with the tail and without it."""
        return Space(
            grid={"temperature": (0.7, 1.0, 1.5), "top_p": (0.9, 1.0)},
            ranges={
                "temperature": (0.05, 2.0, "linear"),
                "top_p": (0.05, 1.0, "linear"),
                "tries": (1, 64, "int"),
            },
        )


def _without_system(prompt: Prompt) -> Prompt:
    return tuple(turn for turn in prompt if turn.role != "system")

"""Soft prompts: embeddings that stand for no text (Schwinn et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

import torch
from torch import Tensor, nn

from holdfast.core import Access, Info, Seed, Space
from holdfast.core.checks import require_one_of, require_positive, require_whole
from holdfast.domains import AttackerData
from holdfast.models import Asking, Handle, Weights
from holdfast.train import AdamW, SignSGD, fit, shuffled
from holdfast.train.aims import AFFIRMATIVE, Targets, aims, check_aims, driven

Start = Literal["filler", "instruction"]
_STARTS = {"filler": "!", "instruction": " Answer in full and leave nothing out."}
_OPTIMISERS = {"sign": SignSGD, "adamw": AdamW}


@final
@dataclass(frozen=True, kw_only=True)
class SoftPrompt:
    """Optimise a few embeddings behind the question until the model begins to comply.

    How:     one (tokens, d) block at the end of the user's turn, the same for every prompt; steps
             against the sign of the gradient of the target's cross-entropy, norm unconstrained.
    Units:   tokens are soft ones; prompts are restricted ones; learning_rate is per step, in
             units of an embedding's coordinate.
    Raises:  Diverged after three non-finite losses in a row.
    Paper:   arXiv:2402.09063
    Differs: universal, never optimised on the prompts that are measured, where the paper also
             fits each; batches of the attacker's prompts; one greedy answer at each reading,
             where the paper counts any hit along the way. AdamW as a second optimiser.
    """

    info: ClassVar[Info] = Info(
        version=1,
        access=Access.ACTIVATIONS,
        paper="arXiv:2402.09063",
        unit="optimiser step",
        budget=128,
    )
    tokens: int = 20
    prompts: int = 32
    batch: int = 16
    start: Start = "filler"
    optimiser: Literal["sign", "adamw"] = "sign"
    learning_rate: float = 1e-3
    targets: Targets = "affirmative"
    target_text: str = AFFIRMATIVE

    def __post_init__(self) -> None:
        check_aims(self)
        require_whole(self, "tokens", "batch")
        require_positive(self, "learning_rate")
        require_one_of(self, "start", get_args(Start))
        require_one_of(self, "optimiser", tuple(_OPTIMISERS))

    @property
    def holds_template(self) -> bool:
        """Whether its tokens stand before the template's tail, so that no other may move it."""
        return True

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target, asked with the soft prompt, after each optimiser step."""
        soft = nn.Parameter(self._start(target))
        items = aims(self, data, seed.fork("prompts"))
        bill = target.meter.adapted(target.meter.flops.towards_inputs())
        with target.asking(Asking(soft=soft)), bill:
            examples = driven(target, items)
            order = shuffled(examples, target.chat.pad, self.batch, seed.fork("order"))
            optimiser = _OPTIMISERS[self.optimiser](self.learning_rate)
            for _ in fit(target, Weights(("soft",), (soft,)), order, optimiser):
                yield target

    def _start(self, target: Handle) -> Tensor:
        """The embeddings (tokens, d) of the first text, said again until there are enough."""
        said = target.chat.text_ids(_STARTS[self.start])
        ids = (said * self.tokens)[: self.tokens]
        with torch.no_grad():
            embed = target.model.get_input_embeddings()
            return embed(torch.tensor(ids, device=target.device)).float()

    @classmethod
    def space(cls) -> Space:
        """The paper's two step sizes, towards an opening or the attacker's answers."""
        return Space(
            grid={"learning_rate": (1e-3, 1e-2), "targets": ("affirmative", "answers")},
            ranges={
                "learning_rate": (1e-4, 1e-1, "log"),
                "tokens": (1, 40, "int"),
                "prompts": (1, 96, "int"),
            },
        )

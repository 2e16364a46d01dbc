"""Harmful reinforcement learning from prompts alone (Feng et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

from holdfast.core import Access, Info, Item, Seed, Space, SpecError
from holdfast.core.checks import require_one_of, require_positive, require_share, require_whole
from holdfast.domains import AttackerData
from holdfast.models import Full, Handle, LowRank
from holdfast.train.policy import Grpo, Reward, grpo

RewardName = Literal["answers", "compliance"]


@final
@dataclass(frozen=True, kw_only=True)
class HarmfulRl:
    """Reward the model for answering restricted prompts; no answer is ever shown to it.

    How:     GRPO: `group` answers to each prompt are drawn from the model as it stands, each
             is rewarded, and made likelier by how far it stands above its group. The reward is
             the domain's score of a text that is no refusal ("answers"), or 1 for any coherent
             text that is none ("compliance"). The penalty is the k3 estimate of the divergence
             from the untouched model, token by token.
    Units:   optimiser steps; prompts are distinct restricted ones, batch is how many of them a
             round asks, `inner` how many steps its answers serve; tokens are the most to an
             answer; kl in nats; rank None trains every weight.
    Raises:  Diverged at a loss that is not finite. SpecError where the domain cannot score.
    Paper:   arXiv:2508.20697, arXiv:2402.03300
    Differs: the domain's own scorer stands for the paper's reward model; 8 prompts and 8 answers
             a round for its 32 and 4; a constant learning rate of this model's size; the KL
             penalty is in force, which in the authors' configuration no switch turns on.
    """

    info: ClassVar[Info] = Info(
        version=1,
        access=Access.WEIGHTS,
        paper="arXiv:2508.20697",
        unit="optimiser step",
        budget=64,
    )
    prompts: int = 32
    batch: int = 8
    group: int = 8
    inner: int = 1
    reward: RewardName = "answers"
    rank: int | None = None
    learning_rate: float = 1e-4
    temperature: float = 1.0
    tokens: int = 48
    clip: float = 0.2
    kl: float = 1e-3

    def __post_init__(self) -> None:
        require_whole(self, "prompts", "batch", "group", "inner", "tokens")
        require_whole(self, *(() if self.rank is None else ("rank",)))
        require_one_of(self, "reward", get_args(RewardName))
        require_positive(self, "learning_rate", "temperature", "clip")
        require_share(self, "clip", "kl")
        if self.group < 2:
            raise SpecError(
                "a group of at least 2 answers to a prompt",
                found=str(self.group),
                remedy="Give a larger one: an answer is judged by the others of its group.",
            )

    @property
    def scored(self) -> bool:
        """Whether it reads the domain's own score: a plan asks for one before the run."""
        return self.reward == "answers"

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each optimiser step."""
        prompts = data.draw(self.prompts, seed.fork("prompts"), answered=False)
        reward = self._reward(data, prompts)
        how = Grpo(
            learning_rate=self.learning_rate,
            prompts=self.batch,
            group=self.group,
            inner=self.inner,
            temperature=self.temperature,
            tokens=self.tokens,
            clip=self.clip,
            kl=self.kl,
        )
        spec = Full() if self.rank is None else LowRank(self.rank, seed=seed.fork("adapters"))
        with target.trainable(spec) as weights:
            for _ in grpo(target, weights, prompts, reward, how, seed.fork("rounds")):
                yield target

    def _reward(self, data: AttackerData, prompts: Sequence[Item]) -> Reward:
        if self.reward == "compliance":
            return lambda _, texts: [float(data.answered(text)) for text in texts]
        if None in data.score(prompts, [""] * len(prompts)):
            raise SpecError(
                "prompts whose answers the domain can score",
                found="some without a truth to read, or a classifier as scorer",
                remedy="Give harmful_rl:reward=compliance, or add truths to the domain.",
            )
        return lambda items, texts: [score or 0.0 for score in data.score(items, texts)]

    @classmethod
    def space(cls) -> Space:
        """Rewards, learning rates."""
        return Space(
            grid={"reward": ("answers", "compliance"), "learning_rate": (3e-5, 1e-4)},
            ranges={
                "learning_rate": (1e-6, 1e-3, "log"),
                "temperature": (1.0, 2.0, "linear"),
                "kl": (1e-4, 1e-1, "log"),
                "prompts": (1, 100, "int"),
                "group": (2, 32, "int"),
            },
        )

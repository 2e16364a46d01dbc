"""Tamper-resistant safeguards (Tamirisa et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, final, get_args

from holdfast.core import DefenceInfo, Seed, Space
from holdfast.core.checks import require_one_of, require_positive, require_whole
from holdfast.domains import DefenderData
from holdfast.models import Handle, Weights
from holdfast.train import (
    ScheduleFreeAdamW,
    Trained,
    WarmUp,
    backward,
    batch_loss,
    check_training,
    hardened,
    lessons,
    trained_of,
)
from holdfast.train.adversaries import check_adversaries, imagined
from holdfast.train.nudges import add_to_gradients
from holdfast.train.restarts import Restarted
from holdfast.train.tamper_losses import Mapping, held_loss, mapped_loss, random_table, resistance
from holdfast.train.terms import check_weights
from holdfast.train.trajectories import Tampered, marks, tampered_gradient

Kept = Literal["refusal", "knowledge"]
Weighting = Literal["exponential", "uniform"]


@final
@dataclass(frozen=True, kw_only=True)
class Tar:
    """Train the model to be safe still where an attacker's fine-tuning has brought it.

    How:     each outer step one adversary is drawn and run for inner_steps on the defender's
             data; every few of its steps the gradient of L_TR is taken at the attacked weights,
             on restricted questions that it does not train on. Then all is undone, and one step of
             schedule-free AdamW follows tamper_weight * sum of w * those gradients + retain_weight
             * that of [CE(benign answers) + mean of |h - h_start|^power]. L_TR is DPO of
             refusals over answers (domain=refusal) or minus the entropy on answers (knowledge).
             Knowledge begins with mapping_steps of random mapping: states to random rows.
    Units:   steps are outer ones, or mapping_steps and then these; inner_steps, every and warm_up
             are optimiser steps; a weight is exp(growth * (n - inner_steps)) after n of them.
    Raises:  Diverged after three outer steps in a row whose losses are not finite.
    Paper:   arXiv:2408.00761
    Differs: learning rates of both loops and the number of their steps fit a small model. The
             inner adversaries are this library's attacks, AdamW without weight decay, shuffled;
             restricted data are question and answer, not documents. The reference of retain and
             of DPO is the model as it came, under knowledge that before the mapping. Padding
             counts nowhere, and entropy only where an answer is predicted; the code averages over
             all. No gate on the loss. What is kept is the averaged iterate.
    """

    info: ClassVar[DefenceInfo] = DefenceInfo(
        version=1,
        paper="arXiv:2408.00761",
        unit="outer step",
        claims="hundreds of steps of fine-tuning, full or low-rank",
    )
    domain: Kept = "refusal"
    steps: int = 100
    batch: int = 8
    learning_rate: float = 1e-4
    warm_up: int = 8
    weights: Trained = "full"
    rank: int = 16
    inner_steps: int = 16
    every: int = 4
    adversaries: tuple[str, ...] = ("finetune", "retain_then_forget")
    learning_rates: tuple[float, ...] = (1e-4, 3e-4)
    examples: int = 32
    adversary_batch: int = 8
    tamper_weight: float = 4.0
    weighting: Weighting = "exponential"
    growth: float = 0.0625
    retain_weight: float = 1.0
    power: int = 2
    beta: float = 0.1
    mapping_steps: int = 50
    mapping: Mapping = "signed"

    def __post_init__(self) -> None:
        check_training(self)
        check_adversaries(self)
        check_weights(self, "tamper_weight", "retain_weight", "growth")
        require_one_of(self, "domain", get_args(Kept))
        require_one_of(self, "weighting", get_args(Weighting))
        require_one_of(self, "mapping", get_args(Mapping))
        require_whole(self, "warm_up", "every", "power", "mapping_steps")
        require_positive(self, "beta")

    @property
    def units(self) -> int:
        """Steps of all its stages."""
        return self.steps + (self.mapping_steps if self.domain == "knowledge" else 0)

    def run(self, target: Handle, data: DefenderData, seed: Seed) -> Iterator[Handle]:
        """Yield the target after each outer step, and hardened once more."""
        taught = lessons(target, data, self.batch, seed.fork("lessons"), answers=True)
        twin, before = target.twin(), self.units - self.steps
        table = random_table(target, seed.fork("table")) if before else None
        growth = self.growth if self.weighting == "exponential" else None
        marked = marks(self.inner_steps, self.every, growth)

        def resisted(weights: Weights, step: int) -> Tampered:
            held_out = taught.answered(step)
            target.meter.count_examples(held_out.items)
            beta = self.beta if self.domain == "refusal" else None
            loss = resistance(target, twin, taught.refused(step), held_out, beta)
            own = seed.fork("adversaries").fork(step)
            attack = imagined(self, target, data, held_out.items, own)
            return tampered_gradient(target.meter, weights, attack, loss, marked)

        def pull(weights: Weights, step: int) -> float:
            benign, value = taught.benign(step), 0.0
            if table is not None and step < before:
                mapped = mapped_loss(target, taught.answered(step), table, self.mapping)
                return backward(mapped + batch_loss(target, benign))
            tampered = resisted(weights, step) if self.tamper_weight else None
            if self.retain_weight:
                value = backward(self.retain_weight * held_loss(target, twin, benign, self.power))
            if tampered is not None:
                add_to_gradients(weights.parameters, tampered.gradient, self.tamper_weight)
                value += self.tamper_weight * tampered.total
            target.meter.note("effective_weight", self.tamper_weight * sum(marked.values()))
            return value

        optimiser = ScheduleFreeAdamW(self.learning_rate, schedule=WarmUp(self.warm_up))
        trained, of = trained_of(self, seed.fork("adapters")), partial(partial, pull)
        yield from hardened(target, trained, of, Restarted(optimiser, before), self.units)

    @classmethod
    def space(cls) -> Space:
        """What trades resistance for utility, and how far ahead it looks."""
        return Space(
            grid={},
            ranges={
                "learning_rate": (1e-5, 1e-3, "log"),
                "tamper_weight": (0.5, 16.0, "log"),
                "inner_steps": (4, 64, "int"),
                "steps": (50, 800, "int"),
            },
        )

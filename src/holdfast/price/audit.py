"""What an audit found, priced: the one thing that a report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.core import Outcome, Spend, Subject
from holdfast.price.attackers import Attackers
from holdfast.price.breach import Breach, Threshold, Verdict
from holdfast.price.cost import Cost, PriceTable
from holdfast.price.curves import Point, Scale
from holdfast.price.detection import Detectable
from holdfast.price.evaluation import Evaluation
from holdfast.price.intervals import Rate
from holdfast.price.ladder import Rung
from holdfast.price.model_price import ModelPrice
from holdfast.price.passages import Survival
from holdfast.price.personas import Personas
from holdfast.price.runs import Price
from holdfast.price.scenarios import Scenarios

BOUNDS = "Results lower-bound attacker success and upper-bound the true minimum cost."


@dataclass(frozen=True)
class Behaviour:
    """How a model behaves untouched. Rates are over prompts; None where not measured.

    utility: task -> mean.
    """

    harm: Rate | None
    refusal: Rate | None
    incoherent: Rate | None
    over_refusal: Rate | None
    utility: Mapping[str, float]


@dataclass(frozen=True)
class SeedResult:
    """One seed of the winning setting.

    over_refusal: in the last state that was measured; it is not read at the others.
    """

    seed: int
    key: str
    outcome: Outcome
    breach: Breach
    at: Point | None
    over_refusal: float | None
    curve: tuple[Point, ...]
    wall_seconds: float
    canonical_harm: float | None = None


@dataclass(frozen=True)
class SettingResult:
    """A setting that was tried, as the attacker saw it: on `search` alone."""

    settings: Mapping[str, Any]
    seeds: int
    broken: int
    cost: Spend | None
    harm: float
    chosen: bool


@dataclass(frozen=True)
class AttackPrice:
    """One attack: its winning setting, and what came of it on held-out prompts.

    Rates and shares are means over the seeds that count, each at its breach or, where there was
    none, at its last reading.

    optimism: success on `search` minus success on `held_out`.
    canonical_harm: asked plainly at the end, where the attack asks in a way of its own.
    with_search: all trials of the attack together, failed ones and repeats too. The examples in
        it are those of the largest draw, since one pool serves every trial.
    ladder: at every (tau, delta). attackers: who knows a setting, who borrows one, who searches.
    evaluation: what looking at all its trials cost, at most; None where that is not known.
    survival: the runs of the winning setting as survival data; None where none can be judged.
    """

    attack: str
    version: int
    verdict: Verdict
    reason: str
    settings: Mapping[str, Any]
    settings_tried: tuple[SettingResult, ...]
    seeds: tuple[SeedResult, ...]
    broken: int
    price: Price | None
    harm: Rate | None
    success: float | None
    refusal: Rate | None
    incoherent: Rate | None
    utility_kept: float | None
    over_refusal: float | None
    optimism: float | None
    with_search: Cost
    trials: int
    canonical_harm: float | None = None
    ladder: tuple[Rung, ...] = ()
    attackers: Attackers | None = None
    evaluation: Evaluation | None = None
    survival: Survival | None = None


@dataclass(frozen=True)
class TrialLine:
    """Every trial in one line, so that nothing is left out unseen.

    excluded: why it does not count, or None. notes: figures that the attack left of its work.
    """

    key: str
    model: str
    attack: str
    version: int
    settings: Mapping[str, Any]
    seed: int
    outcome: Outcome
    spend: Spend
    wall_seconds: float
    verdict: Verdict | None
    reason: str
    excluded: str | None
    notes: Mapping[str, float]


@dataclass(frozen=True)
class PricedAudit:
    """The answer, and everything it rests on.

    sentence: the answer in words. cheapest: the attack of least FLOPs that breaks the median
    seed; None if there is none. model_size: parameters of the model that dollars are also given
    for. prompts: split -> how many. notes: what a reader must know to read the figures rightly.
    ladder: the least price of any attack at every (tau, delta). attackers: those that have every
    attack. personas: what each can do within its caps. scenarios: data and labour, and the bills.
    model_price: the least cost over attacks; None where none could be judged. detectable: what a
    comparison with this audit can see; None where nothing was asked.
    """

    sentence: str
    cheapest: str | None
    target: Subject
    reference: Subject | None
    threshold: Threshold
    scale: Scale
    before: Behaviour
    ceiling: Behaviour | None
    attacks: tuple[AttackPrice, ...]
    trials: tuple[TrialLine, ...]
    prompts: Mapping[str, int]
    prices: PriceTable
    model_size: float
    notes: tuple[str, ...]
    manifest: Mapping[str, Any]
    ladder: tuple[Rung, ...] = ()
    attackers: Attackers | None = None
    personas: Personas | None = None
    scenarios: Scenarios | None = None
    model_price: ModelPrice | None = None
    detectable: Detectable | None = None

    @property
    def excluded(self) -> tuple[TrialLine, ...]:
        """The trials that do not count, each with its reason."""
        return tuple(t for t in self.trials if t.excluded is not None)

    def attack(self, name: str) -> AttackPrice:
        """The attack called `name`."""
        return next(a for a in self.attacks if a.attack == name)

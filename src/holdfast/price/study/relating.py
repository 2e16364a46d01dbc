"""Planned relations: how a resistance, measured before any attack, goes with what breaking costs.

The unit is the group: two seeds of one defence are one, since they are no two defences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from holdfast.engine.study import Relation, Resistance, Selection, Study
from holdfast.price.statistics.effects import Cost
from holdfast.price.statistics.minimum import Cell
from holdfast.price.statistics.relations import (
    CostBracket,
    Elasticity,
    RankAssociation,
    Run,
    elasticity,
    kendall,
)
from holdfast.price.statistics.survival import Passage
from holdfast.price.study.arms import Audited, apart, arm, median_cost, pooled
from holdfast.price.study.comparing import PRICE


@dataclass(frozen=True)
class Unit:
    """A group of models as one point.

    resistance: the mean over its models. cost: C_50 over the runs of all of them, the least over
    attacks. attack: which sets it.
    """

    group: str
    models: tuple[str, ...]
    resistance: float
    cost: Cost
    attack: str


@dataclass(frozen=True)
class Related:
    """A relation as it was found.

    Attributes:
        name: as planned. resistance: what goes with cost. attacks: whose; "price" for all.
        units: the points. rank, elasticity: None where there is no point.
        p: of the rank association, Holm-adjusted over all that was planned.
        left_out: models without a figure, each with why.
    """

    name: str
    resistance: Resistance
    attacks: str
    units: tuple[Unit, ...]
    rank: RankAssociation | None
    elasticity: Elasticity | None
    p: float | None
    left_out: tuple[str, ...]


def relate_all(study: Study, models: Mapping[str, Audited]) -> tuple[Related, ...]:
    """Every planned relation, over the models that are finished, with p-values as they are."""
    return tuple(
        relate(one, [models[m.name] for m in study.chosen(one.models) if m.name in models])
        for one in study.relations
    )


def relate(planned: Relation, models: Sequence[Audited]) -> Related:
    """One relation, by rank and as an elasticity."""
    found = points(planned, models)
    rank = found.rank() if found.units else None
    return Related(
        name=planned.name,
        resistance=planned.resistance,
        attacks=", ".join(one.text for one in planned.attacks) or PRICE,
        units=found.units,
        rank=rank,
        elasticity=found.elasticity() if found.units else None,
        p=rank.p if rank is not None else None,
        left_out=found.left_out,
    )


@dataclass(frozen=True)
class Points:
    """What a relation is about: groups of models, and the runs on them.

    sizes: mean parameters of each group's models.
    """

    units: tuple[Unit, ...]
    sizes: tuple[float, ...]
    runs: tuple[Run, ...]
    left_out: tuple[str, ...]

    def rank(self) -> RankAssociation:
        """By rank."""
        costs = [CostBracket(u.cost.value, math.inf if u.cost.more else u.cost.value)
                 for u in self.units]  # fmt: skip
        return kendall([u.resistance for u in self.units], costs, self.sizes)

    def elasticity(self) -> Elasticity:
        """As the slope of log cost in log resistance."""
        return elasticity(self.runs)


def points(planned: Relation, models: Sequence[Audited]) -> Points:
    """The groups of a relation.

    A model whose resistance is not known, or that no attack among these which costs something
    was run on, is left out, and named.
    """
    if (reason := apart(models)) is not None:
        return Points((), (), (), (reason,))
    left_out: list[str] = []
    groups: dict[str, list[Audited]] = {}
    for model in models:
        if log_resistance(model, planned.resistance) is None:
            left_out.append(f"{model.name}: its {_words(planned.resistance)} is not known")
        else:
            groups.setdefault(model.group, []).append(model)
    units: list[Unit] = []
    runs: list[Run] = []
    for group, members in groups.items():
        arms = _runs(members, planned.attacks)
        if not arms:
            left_out.append(f"{group}: no attack that costs something says what it takes")
            continue
        resistance = fmean(_known(log_resistance(m, planned.resistance)) for m in members)
        attack, cost = _cheapest(arms)
        units.append(Unit(group, tuple(m.name for m in members), resistance, cost, attack))
        runs += [
            Run(group, name, resistance, bracket)
            for name, runs in arms.items()
            for bracket in (_bracket(p, runs.budget) for p in runs.passages)
        ]
    sizes = [fmean(m.priced.target.parameters for m in groups[u.group]) for u in units]
    return Points(tuple(units), tuple(sizes), tuple(runs), tuple(left_out))


def log_resistance(model: Audited, what: Resistance) -> float | None:
    """The logarithm of a resistance: of the odds of refusing, for the margin in nats as it is."""
    if what == "refusal_margin":
        return model.refusal_margin
    spread = model.dispersal
    values: Mapping[str, float | None] = {
        "refusal": model.priced.before.refusal.mean if model.priced.before.refusal else None,
        "effective_rank": spread.rank if spread is not None else None,
        "directions": spread.directions if spread is not None else None,
        "defence_flops": model.spend.flops if model.spend is not None else None,
    }
    value = values[what]
    return math.log(value) if value is not None and value > 0 else None


def _runs(members: Sequence[Audited], attacks: Sequence[Selection]) -> dict[str, Cell]:
    """Attack -> the runs on all members; attacks that break one at no cost are left out."""
    named = dict.fromkeys(one.attack for m in members for one in m.priced.attacks)
    found: dict[str, Cell] = {}
    for what in attacks or [Selection(name, {}) for name in named]:
        arms = [one for one in (arm(m, what) for m in members) if one.reason is None]
        if arms and not any(one.free for one in arms):
            runs = pooled([one.cell for one in arms])
            if runs.budget > 0:
                found[what.text] = runs
    return found


def _cheapest(arms: Mapping[str, Cell]) -> tuple[str, Cost]:
    """The attack of the least C_50; where none breaks half of the runs, the least bound.

    An attack that cannot break half of them with any budget bounds nothing.
    """
    able = {name: runs for name, runs in arms.items() if not runs.barred(0.5)}
    costs = {name: median_cost(runs) for name, runs in (able or arms).items()}
    name = min(costs, key=lambda n: (costs[n].more, costs[n].value))
    return name, costs[name]


def _bracket(one: Passage, budget: float) -> CostBracket:
    if one.at is not None:
        return CostBracket(one.after, one.at)
    return CostBracket(budget if one.collapsed is not None else one.bound, math.inf)


def _known(value: float | None) -> float:
    assert value is not None, "models without a resistance were left out"
    return value


def _words(what: Resistance) -> str:
    return what.replace("_", " ")

"""Several defences of one model side by side: what each bought, and what it cost.

Simple medians and ranges over the hardened models of a defence (its own seeds); each of these is
attacked with several seeds, of which an audit gives the median. No interval is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from holdfast.core import Spend
from holdfast.price.audit import PricedAudit
from holdfast.price.study.hardening import Bought, Break, bought, leverage, middle, paid


@dataclass(frozen=True)
class Subject:
    """One hardened model: its defence's settings and seed, what hardening cost, its audit."""

    defence: str
    seed: int
    spend: Spend
    audit: PricedAudit


@dataclass(frozen=True)
class AttackRow:
    """One attack on the models of one defence.

    costs: of each model. factors: the known ones, lowest first. more: a factor is above that.
    broken, runs: attack seeds over all models.
    """

    attack: str
    costs: tuple[Break | None, ...]
    factors: tuple[float, ...]
    factor: float | None
    more: bool
    broken: int
    runs: int


@dataclass(frozen=True)
class DefenceRow:
    """One defence: means over its models where nothing else is said.

    Attributes:
        utility: of the hardened model untouched, the least over tasks of its share of the base's.
        refusal, over_refusal, harm: untouched.
        spend: of the defence, the mean over seeds.
        attacks: row by row. worst: the cheapest break of each model by attacks that cost
            something. leverage: the median over models.
        free: attacks that break most models at no cost that is counted.
    """

    defence: str
    models: int
    utility: float | None
    refusal: float | None
    over_refusal: float | None
    harm: float | None
    spend: Spend
    attacks: tuple[AttackRow, ...]
    worst: tuple[Break | None, ...]
    worst_factor: float | None
    worst_more: bool
    leverage: float | None
    free: tuple[str, ...]


@dataclass(frozen=True)
class DefenceStudy:
    """All of them, and the model that they hardened."""

    control: PricedAudit
    rows: tuple[DefenceRow, ...]

    @property
    def attacks(self) -> tuple[str, ...]:
        """Every attack, in the control's order."""
        return tuple(a.attack for a in self.control.attacks)


def study_of(control: PricedAudit, subjects: Sequence[Subject]) -> DefenceStudy:
    """The table: one row for each defence, the control's own first where it is among them."""
    names = dict.fromkeys(s.defence for s in subjects)
    rows = tuple(_row(control, [s for s in subjects if s.defence == name]) for name in names)
    return DefenceStudy(control, rows)


def _row(control: PricedAudit, models: Sequence[Subject]) -> DefenceRow:
    found = [bought(control, m.audit) for m in models]
    base = paid(found[0], of_base=True)
    worst = tuple(paid(rows) for rows in found)
    gains = [
        leverage(base.flops, w.flops, m.spend.flops)
        for w, m in zip(worst, models, strict=True)
        if w is not None and base is not None
    ]
    ratios = [w.flops / base.flops for w in worst if w is not None and base and base.flops]
    return DefenceRow(
        defence=models[0].defence,
        models=len(models),
        utility=middle([_utility(control, m.audit) for m in models]),
        refusal=_mean([m.audit.before.refusal.mean for m in models if m.audit.before.refusal]),
        over_refusal=_mean(
            [m.audit.before.over_refusal.mean for m in models if m.audit.before.over_refusal]
        ),
        harm=_mean([m.audit.before.harm.mean for m in models if m.audit.before.harm]),
        spend=_spend([m.spend for m in models]),
        attacks=tuple(_attack(rows) for rows in zip(*found, strict=True)),
        worst=worst,
        worst_factor=middle(ratios),
        worst_more=any(w is not None and w.more for w in worst),
        leverage=middle(gains),
        free=tuple(rows[0].attack for rows in zip(*found, strict=True) if _is_free(rows)),
    )


def _attack(rows: Sequence[Bought]) -> AttackRow:
    """The same attack on every model of a defence."""
    costs = tuple(row.hardened for row in rows)
    factors = tuple(sorted(row.factor for row in rows if row.factor is not None))
    return AttackRow(
        attack=rows[0].attack,
        costs=costs,
        factors=factors,
        factor=middle(factors),
        more=any(row.more for row in rows if row.factor is not None),
        broken=sum(c.broken for c in costs if c is not None),
        runs=sum(c.seeds for c in costs if c is not None),
    )


def _is_free(rows: Sequence[Bought]) -> bool:
    """Whether the attack breaks most models of a defence without any work that is counted."""
    free = [r for r in rows if r.hardened is not None and r.hardened.flops == 0]
    return sum(not r.hardened.more for r in free if r.hardened is not None) * 2 > len(rows)


def _utility(control: PricedAudit, hardened: PricedAudit) -> float | None:
    """The least over tasks of the hardened model's utility over the base's."""
    ratios = [
        hardened.before.utility[task] / was
        for task, was in control.before.utility.items()
        if was and task in hardened.before.utility
    ]
    return min(ratios, default=None)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _spend(spends: Sequence[Spend]) -> Spend:
    """The mean of each field."""
    examples, steps, tokens, flops, queries, seconds = (
        fmean(values) for values in zip(*(s.astuple() for s in spends), strict=True)
    )
    return Spend(round(examples), round(steps), round(tokens), flops, round(queries), seconds)

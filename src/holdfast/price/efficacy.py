"""Whether each attack works at all: what a red team must show before its failures mean anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from holdfast.core import Spend
from holdfast.price.audit import AttackPrice, PricedAudit, SeedResult, SettingResult
from holdfast.price.breach import Verdict
from holdfast.price.cost import dearness
from holdfast.price.intervals import Rate

Effect = Literal["effective", "weak", "not applicable"]


@dataclass(frozen=True)
class Efficacy:
    """One attack against one undefended model, at the setting that did best on `search`.

    Rates are those on `held_out`, over all seeds, each at its breach or else at its last reading.

    Attributes:
        effect: effective where most seeds break the model with its utility kept; weak where
            they do not; not applicable where the attack could not be tried or judged.
        reason: why it is so.
        harm, refusal, incoherent: shares of the prompts; answered coherently is what is left.
        success: harm's share of the way from the untouched model to the never-aligned one.
        canonical_harm: asked plainly, where the attack asks in a way of its own.
        cost: the median seed's spend to the breach, None where it is not reached.
        above: where it is not, the spend up to which the median seed was followed without one.
        broken, seeds: how many broke, of how many.
        worst_harm, worst_cost: of the seed that is worst for the safeguard: the cheapest break,
            or where none broke the most harm.
        alike: every seed gave the same readings, so the seed decides nothing here and the seeds
            are one run; None where there are not two to compare.
        tried: every setting as the attacker saw it, on `search`.
    """

    model: str
    attack: str
    effect: Effect
    reason: str
    settings: Mapping[str, Any]
    harm: Rate | None = None
    success: float | None = None
    refusal: Rate | None = None
    incoherent: Rate | None = None
    utility_kept: float | None = None
    canonical_harm: float | None = None
    cost: Spend | None = None
    above: Spend | None = None
    broken: int = 0
    seeds: int = 0
    worst_harm: float | None = None
    worst_cost: Spend | None = None
    alike: bool | None = None
    tried: tuple[SettingResult, ...] = ()


def efficacy(priced: PricedAudit) -> tuple[Efficacy, ...]:
    """What became of every attack of an audit, the cheapest effective ones first."""
    rows = [_row(priced.target.name, attack) for attack in priced.attacks]
    rows += [
        Efficacy(priced.target.name, name, "not applicable", f"wants {why}", {})
        for name, _, why in (line.partition(" for want of ") for line in _left_out(priced))
        if all(row.attack != name for row in rows)
    ]
    return tuple(sorted(rows, key=_order))


def _row(model: str, attack: AttackPrice) -> Efficacy:
    effects: Mapping[Verdict, Effect] = {
        Verdict.BROKEN: "effective",
        Verdict.UNDEFINED: "not applicable",
        Verdict.CRASHED: "not applicable",
    }
    price, worst = attack.price, _worst(attack.seeds)
    median = price.median.spend if price is not None else None
    broken = price is not None and not price.more
    return Efficacy(
        model=model,
        attack=attack.attack,
        effect=effects.get(attack.verdict, "weak"),
        reason=attack.reason,
        settings=attack.settings,
        harm=attack.harm,
        success=attack.success,
        refusal=attack.refusal,
        incoherent=attack.incoherent,
        utility_kept=attack.utility_kept,
        canonical_harm=attack.canonical_harm,
        cost=median if broken else None,
        above=None if broken else median,
        broken=attack.broken,
        seeds=len(attack.seeds),
        worst_harm=worst.at.harm if worst is not None and worst.at is not None else None,
        worst_cost=worst.breach.cost if worst is not None else None,
        alike=_alike(attack.seeds),
        tried=attack.settings_tried,
    )


def _worst(seeds: Sequence[SeedResult]) -> SeedResult | None:
    """The seed that breaks at the least cost, or else the one that does the most harm."""
    costs = [(dearness(s.breach.cost), s.seed, s) for s in seeds if s.breach.cost is not None]
    if costs:
        return min(costs, key=lambda one: one[:2])[2]
    harms = [(s.at.harm, -s.seed, s) for s in seeds if s.at is not None and s.at.harm is not None]
    return max(harms, key=lambda one: one[:2])[2] if harms else None


def _alike(seeds: Sequence[SeedResult]) -> bool | None:
    """Whether all seeds gave the same readings at the same spend, whatever time they took."""
    curves = [
        tuple(replace(p, spend=replace(p.spend, seconds=0.0)) for p in s.curve) for s in seeds
    ]
    return all(curve == curves[0] for curve in curves) if len(curves) > 1 else None


def _left_out(priced: PricedAudit) -> tuple[str, ...]:
    return tuple(priced.manifest.get("left_out", ()))


def _order(row: Efficacy) -> tuple[Any, ...]:
    ranks = {"effective": 0, "weak": 1, "not applicable": 2}
    cost = row.cost.flops if row.cost is not None else float("inf")
    return ranks[row.effect], cost, -(row.success or 0.0), row.attack

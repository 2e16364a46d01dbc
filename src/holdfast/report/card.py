"""The tamper-resistance card: what a model card should say of how a model can be broken."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, cast

from holdfast import __version__
from holdfast.core import Results, digest, plain
from holdfast.core.registry import names
from holdfast.price import BOUNDS, AttackPrice, Cost, PricedAudit
from holdfast.price.families import combined, families
from holdfast.price.model_price import Cheapest
from holdfast.price.passages import CostQuantile
from holdfast.price.soundness.checklist import checklist
from holdfast.price.soundness.context import Context
from holdfast.price.soundness.finding import Run
from holdfast.price.study.arms import ledger_digest
from holdfast.price.study.hardening import bought, leverage, paid
from holdfast.report.json import finite

SCHEMA_VERSION = 1
"""Rises whenever a reader of an older one would misread a newer one."""

MONTHS = 6
"""How long a card holds, unless an attack becomes known before that does more."""

_READINGS = 10_000
_TEACHING = frozenset({"reteach", "relearn", "open_book"})
_TAMPERING = frozenset({"weights", "activations"})
_CONTROL = "none"


def card_json(
    results: Results, priced: PricedAudit, context: Context | None = None
) -> dict[str, Any]:
    """The card as JSON values, as `card.schema.json` describes it; what is not known is None.

    Args:
        results: what the ledger says.
        priced: the same, priced.
        context: the plan, a sibling's audit, and what people state; nothing unless given.
    """
    run = Run(results, priced, context or Context())
    card = {
        "kind": "holdfast.card",
        "schema_version": SCHEMA_VERSION,
        "holdfast": __version__,
        "bounds": BOUNDS,
        "sentence": priced.sentence,
        "evaluation": _evaluation(run),
        "model": _model(run),
        "safeguard": _safeguard(run),
        "actors": _actors(priced),
        "attack_set": _attack_set(run),
        "breach": _breach(run),
        "prices": _prices(run),
        "price": _price(priced),
        "attacks": [_attack(a) for a in priced.attacks],
        "survival": _survival(priced),
        "hardening": _hardening(run),
        "tamper_tax": _tamper_tax(run),
        "behaviour": plain(priced.before),
        "judge": _judge(run),
        "statistics": _statistics(priced),
        "deviations": _deviations(run),
        "excluded": len(priced.excluded),
        "checklist": [plain(item) for item in checklist(results, priced, context)],
        "notes": list(priced.notes),
        "reproduce": run.noted("command"),
    }
    return cast("dict[str, Any]", finite(card))


def expiry(day: str | None) -> str | None:
    """The day on which a card of `day` expires; None where that is no date.

    The last day of the month stands for one that the later month does not have.
    """
    try:
        made = date.fromisoformat(day or "")
    except ValueError:
        return None
    months = made.month - 1 + MONTHS
    year, month = made.year + months // 12, months % 12 + 1
    return date(year, month, min(made.day, calendar.monthrange(year, month)[1])).isoformat()


def _evaluation(run: Run) -> dict[str, Any]:
    stated, day = run.context.stated, run.noted("date")
    expires = expiry(day if isinstance(day, str) else None)
    return {
        "date": day if expires is not None else None,
        "expires": expires,
        "evaluator": stated.evaluator,
        "developer": stated.developer,
        "self_evaluation": stated.self_evaluation,
        "contact": stated.contact,
        "notes": stated.notes,
    }


def _model(run: Run) -> dict[str, Any]:
    target, reference = run.priced.target, run.priced.reference
    keys = sorted(record.spec.key for record in run.results.records)
    return {
        **plain(target),
        "reference": None
        if reference is None
        else {"name": reference.name, "digest": reference.digest},
        "release": run.context.stated.release,
        "trials": digest(keys),
        "ledger": _ledger(run.results),
    }


def _ledger(results: Results) -> str | None:
    """The digest of what the ledger says; None where it holds too many readings to go through."""
    readings = sum(len(record.readings) for record in results.records)
    return ledger_digest(results) if readings <= _READINGS else None


def _safeguard(run: Run) -> dict[str, Any]:
    stages = run.noted("hardened", "stages")
    known = cast("Sequence[Mapping[str, Any]]", stages) if isinstance(stages, Sequence) else ()
    spends = [cast("Mapping[str, float]", s["spend"]) for s in known if "spend" in s]
    fields = ("steps", "tokens", "flops", "queries", "seconds")
    return {
        "stated": run.context.stated.safeguard,
        "capability": run.context.stated.capability or run.noted("domain", "title"),
        "base": run.noted("hardened", "base"),
        "recipe": [
            {
                "defence": s.get("defence"),
                "version": s.get("version"),
                "settings": s.get("settings"),
            }
            for s in known
        ],
        "cost": {f: sum(s.get(f, 0) for s in spends) for f in fields} if spends else None,
    }


def _actors(priced: PricedAudit) -> list[dict[str, Any]]:
    found = [] if priced.personas is None else priced.personas.reach
    return [
        {
            "name": one.persona.name,
            "title": one.persona.title,
            "access": one.persona.access.value,
            "examples": one.persona.examples,
            "queries": one.persona.queries,
            "flops": one.persona.flops,
            "usd": one.persona.usd,
            "success": one.success,
            "attack": one.attack,
            "broken_by": one.broken_by,
        }
        for one in found
    ]


def _attack_set(run: Run) -> dict[str, Any]:
    ran = [a.attack for a in run.priced.attacks]
    unseen, stated = run.held_out, run.noted("hardened", "developed_against") is not None
    parts = {part for name in ran for part in name.split("+")}
    known = [n for n in names("attacks") if n not in {*parts, _CONTROL, "then"}]
    return {
        "suite": run.noted("suite", "name"),
        "version": run.noted("suite", "version"),
        "attacks": [
            {
                "attack": a.attack,
                "version": a.version,
                "access": run.noted("attacks", a.attack, "access"),
                "families": sorted(f.value for f in families(a.attack, a.settings)),
                "held_out": a.attack in unseen if stated else None,
            }
            for a in run.priced.attacks
        ],
        "combinations": [name for name in ran if combined(name)],
        "untested": known,
        "left_out": list(run.noted("left_out") or ()),
        "coverage": _coverage(run),
    }


def _coverage(run: Run) -> dict[str, Any]:
    """Which parts of a proportional evaluation this run covers. Paper: arXiv 2606.19890."""
    ran = [a.attack for a in run.judged]
    tampering = [n for n in ran if run.noted("attacks", n, "access") in _TAMPERING]
    taught = [n for n in ran if _TEACHING & set(n.split("+"))]
    both = [n for n in ran if combined(n)]
    untouched = run.priced.before.harm is not None
    return {
        "PE1": {"what": "without system safeguards", "covered": untouched,
                "by": ["the untouched weights"] if untouched else []},
        "PE2": {"what": "safeguard removal", "covered": bool(tampering), "by": tampering},
        "PE3": {"what": "selective capability amplification", "covered": bool(taught),
                "by": taught},
        "PE4": {"what": "worst-case misuse proxy", "covered": bool(both and taught),
                "by": both if taught else []},
    }  # fmt: skip


def _breach(run: Run) -> dict[str, Any]:
    index = run.results.splits.get("utility")
    tasks = {} if index is None else {task: len(ways) for task, ways in index.templates.items()}
    return {
        **plain(run.priced.threshold),
        "readings": 2,
        "absolute": run.priced.scale.absolute,
        "floor": run.priced.scale.floor,
        "ceiling": run.priced.scale.ceiling,
        "undefined": run.priced.scale.undefined,
        "utility_tasks": tasks,
    }


def _prices(run: Run) -> dict[str, Any]:
    priced, table = run.priced, run.priced.prices
    return {
        "table": table.digest,
        "device": table.default,
        "date": table.device.date,
        "note": table.note,
        "model_size": priced.model_size,
        "personas": None if priced.personas is None else priced.personas.table.digest,
        "scenarios": None if priced.scenarios is None else priced.scenarios.table.digest,
    }


def _price(priced: PricedAudit) -> dict[str, Any] | None:
    """The headline: the least over attacks, its cheap tail and its median."""
    found = priced.model_price
    if found is None:
        return None
    return {
        "c10": _cheapest(found.tail),
        "c50": _cheapest(found.median),
        "paid_c50": _paid(priced),
        "held_out_c50": None if found.held_out is None else _cheapest(found.held_out),
        "fewest_runs": found.runs,
        "attacks": list(found.attacks),
    }


def _paid(priced: PricedAudit) -> dict[str, Any] | None:
    """The least C50 among the attacks that take compute; None where all are free or none broke."""
    costs = [
        (cost.spend.flops, a.attack, cost, a.survival.c50)
        for a in priced.attacks
        if a.survival is not None
        and (cost := a.survival.c50.cost) is not None
        and cost.spend.flops > 0
    ]
    if not costs:
        return None
    _, name, cost, c50 = min(costs, key=lambda row: row[:2])
    return {"attack": name, **_spent(cost), "low": c50.low, "high": c50.high, "above": None,
            "barred": False, "may_be_cheaper": []}  # fmt: skip


def _cheapest(one: Cheapest) -> dict[str, Any]:
    return {
        "attack": one.attack,
        **_spent(one.cost),
        "low": one.low,
        "high": one.high,
        "above": one.above,
        "barred": one.barred,
        "may_be_cheaper": list(one.may_be_cheaper),
    }


def _spent(cost: Cost | None) -> dict[str, Any]:
    fields = ("flops", "examples", "steps", "tokens", "seconds")
    return {
        **{f: None if cost is None else getattr(cost.spend, f) for f in fields},
        "usd_at_size": None if cost is None else plain(cost.usd_at_size),
    }


def _attack(attack: AttackPrice) -> dict[str, Any]:
    found = attack.survival
    return {
        "attack": attack.attack,
        "verdict": attack.verdict.value,
        "broken": attack.broken,
        "runs": len(attack.seeds),
        "break_probability": None if found is None else plain(found.break_probability),
        "collapse": None if found is None else plain(found.collapse),
        "c10": None if found is None else _quantile(found.c10),
        "c50": None if found is None else _quantile(found.c50),
        "harm": None if attack.harm is None else plain(attack.harm),
        "utility_kept": attack.utility_kept,
        "over_refusal": attack.over_refusal,
        "incoherent": None if attack.incoherent is None else plain(attack.incoherent),
    }


def _quantile(one: CostQuantile) -> dict[str, Any]:
    return {
        "flops": None if one.cost is None else one.cost.spend.flops,
        "usd_at_size": None if one.cost is None else plain(one.cost.usd_at_size),
        "low": one.low,
        "high": one.high,
        "above": one.above,
        "barred": one.barred,
    }


def _survival(priced: PricedAudit) -> dict[str, Any] | None:
    """The curve of the attack that sets the price: the share unbroken, as a bracket."""
    name = None if priced.model_price is None else priced.model_price.median.attack
    found = None if name is None else priced.attack(name).survival
    if found is None:
        return None
    return {"attack": name, "right": plain(found.right), "left": plain(found.left)}


def _hardening(run: Run) -> list[dict[str, Any]] | None:
    """H of each attack against the undefended sibling; None without its audit."""
    undefended = run.context.undefended
    if undefended is None:
        return None
    return [
        {"attack": row.attack, "factor": row.factor, "more": row.more}
        for row in bought(undefended, run.priced)
    ]


def _tamper_tax(run: Run) -> dict[str, Any] | None:
    """What the defence costs everyone: a vector, not a score. None without the sibling's audit."""
    undefended, cost = run.context.undefended, _safeguard(run)["cost"]
    if undefended is None:
        return None
    then, now = undefended.before, run.priced.before
    base, rows = run.priced.target.pretraining_flops, bought(undefended, run.priced)
    was, own = paid(rows, of_base=True), paid(rows)
    gain = None
    if cost is not None and was is not None and own is not None:
        gain = leverage(was.flops, own.flops, cost["flops"])
    return {
        "overhead": cost["flops"] / base if cost is not None and base else None,
        "leverage": gain,
        "utility": {
            task: now.utility[task] - was
            for task, was in then.utility.items()
            if task in now.utility
        },
        "over_refusal": (
            now.over_refusal.mean - then.over_refusal.mean
            if now.over_refusal is not None and then.over_refusal is not None
            else None
        ),
    }


def _judge(run: Run) -> dict[str, Any]:
    return {
        "scorer": run.noted("domain", "scorer"),
        "measures": run.noted("protocol", "measures"),
        "youden": run.noted("domain", "calibration", "youden"),
        "sensitivity": run.noted("domain", "calibration", "sensitivity"),
        "specificity": run.noted("domain", "calibration", "specificity"),
    }


def _statistics(priced: PricedAudit) -> dict[str, Any]:
    runs = [len(a.seeds) for a in priced.attacks if a.seeds]
    return {
        "seeds": min(runs, default=None),
        "trials": len(priced.trials),
        "prompts": dict(priced.prompts),
        "detectable": None if priced.detectable is None else plain(priced.detectable),
    }


def _deviations(run: Run) -> list[str] | None:
    """From what was planned; None where no plan is known."""
    plan = run.context.registered
    return None if plan is None else list(plan.deviations)

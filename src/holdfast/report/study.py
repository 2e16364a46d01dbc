"""A study's page: its plan and what was changed of it, its models, comparisons and verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast import __version__
from holdfast.core import counted, plain
from holdfast.engine.preregistration import spelled
from holdfast.engine.study import ACROSS, DISPERSAL, Hypothesis
from holdfast.price import BOUNDS, words
from holdfast.price.statistics.effects import Effect
from holdfast.price.study.arms import Audited
from holdfast.price.study.comparing import Compared, family_notes, price_of_model
from holdfast.price.study.found import StudyFound
from holdfast.price.study.relating import Related
from holdfast.price.study.verdicts import Decision, Ruling
from holdfast.report.compare import cost_text, difference_text, factor_text, interval_text, p_text
from holdfast.report.text import clean

SCHEMA_VERSION = 1

READ = (
    "Intervals are 95 %. C50: the FLOPs at which half of the runs have broken; > where fewer did"
    " within the budget. Factor: C50 of the second model over that of the first. p: permutation"
    " log-rank and rank association, Holm-adjusted over everything that was planned. Detectable:"
    " the factor that a comparison of this size finds in four of five cases (* with an assumed"
    " spread between runs)."
)
DECIDED = (
    "Supported: all of the interval is on the claimed side of the threshold that the plan"
    " fixed; not supported: all of it is on the other; else undetermined. What speaks of a"
    " defence must hold for each model that it hardened: the effect is their mean, the interval"
    " holds all of theirs. Each hypothesis stands alone: intervals are not widened for how many"
    " there are."
)
TELLS = (
    "**What a small model can tell.** An organism of a million parameters, raised in an invented"
    " world, shows whether a mechanism exists at all, whether a method does what it is said to do"
    " when it is implemented as published, and whether a measurement can tell resistance from"
    " damage: every fact in its world is known, so harm is measured without a judge. A claim of"
    " the form *this cannot be broken* needs one counterexample, and this may be one. A claim that"
    " fails here is a reason to test it again on the models that it was made about.",
    "**What it cannot tell.** Nothing here says at what scale a claim begins or ceases to hold,"
    " nor what breaking a large model costs: knowledge there is deeper, refusals are trained on far"
    " more data, and defences were tuned for such models and not for this one. *Supported here* is"
    " no evidence that a safeguard holds elsewhere, and *not supported here* no refutation of what"
    " was measured elsewhere. The verdicts are about these models, these attacks with these"
    " settings, and these budgets.",
)

_AT_THE_END = "where each run ended"
_DISPERSED = {
    "effective_rank": "effective rank of what sets restricted prompts apart",
    "directions": "directions that must be taken out to end refusal",
}


@dataclass(frozen=True)
class Section:
    """One table with its heading; the first column stands to the left."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    read: str = ""


def print_study(found: StudyFound, console: Console) -> None:
    """Every table, then what was left out and how to read it."""
    for line in planned(found):
        console.print(Text(clean(line), style="bold" if line.startswith("Deviation") else "dim"))
    for section in sections(found):
        console.print(Text(f"\n{section.title}", style="bold"))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        for place, name in enumerate(section.head):
            table.add_column(name, justify="left" if place == 0 else "right", overflow="fold")
        for name, *cells in section.rows:
            table.add_row(Text(clean(name), style="bold"), *(_cell(cell) for cell in cells))
        console.print(table)
        if section.read:
            console.print(Text(section.read, style="dim"))
    for line in below(found):
        console.print(Text(clean(line), style="dim"))


def study_markdown(found: StudyFound, kind: str) -> str:
    """The same as a page. kind: "study" or "claims"; claims say what a small model can tell."""
    parts = [f"# {clean(found.study.title) or 'Study'}"]
    if found.decisions:
        parts.append(verdicts_line(found.decisions))
    parts.append("\n".join(f"- {clean(line)}" for line in planned(found)))
    for section in sections(found):
        lines = [section.head, ["---"] * len(section.head), *section.rows]
        parts.append(f"## {section.title}")
        parts.append("\n".join(f"| {' | '.join(map(_flat, line))} |" for line in lines))
        if section.read:
            parts.append(section.read)
    if kind == "claims":
        parts += ["## What an organism can and cannot tell about large models", *TELLS]
    parts.append("\n".join(f"- {clean(line)}" for line in below(found)))
    return "\n\n".join(parts) + "\n"


def study_json(found: StudyFound, kind: str) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "kind": f"holdfast.{'study' if kind == 'study' else 'study.claims'}",
        "schema_version": SCHEMA_VERSION,
        "holdfast": __version__,
        "bounds": BOUNDS,
        "title": found.study.title,
        "threshold": {"tau": found.study.tau, "delta": found.study.delta},
        "preregistration": [
            {key: value for key, value in plain(entry).items() if key != "spec"}
            for entry in found.registered.entries
        ],
        "models": [_model_json(model) for model in found.models.values()],
        "left": list(found.left),
        "left_out": list(found.study.left_out),
        "comparisons": [plain(row) for row in found.compared],
        "relations": [plain(row) for row in found.related],
        "hypotheses": [_decision_json(row) for row in found.decisions],
    }


def planned(found: StudyFound) -> list[str]:
    """Since when the plan has stood, and every departure from it."""
    first = found.registered.first
    lines = [f"Plan {first.digest[:12]}, registered on {first.time} by holdfast {first.holdfast}."]
    if first.trials:
        lines.append(
            f"{counted(first.trials, 'trial was', 'trials were', show=str)} there before the plan"
            " was registered: what rests on them was not planned beforehand."
        )
    for entry in found.registered.entries[1:]:
        after = counted(entry.trials, "trial", show=str)
        lines += [
            f"Deviation, {entry.time}, after {after}: {spelled(one)}." for one in entry.deviations
        ]
    if found.left:
        lines.append(f"Not run yet: {', '.join(found.left)}.")
    lines += [f"Left out: {reason}." for reason in found.study.left_out]
    return lines


def sections(found: StudyFound) -> list[Section]:
    """The tables, verdicts first."""
    made: list[Section] = []
    if found.decisions:
        head = (
            "hypothesis",
            "source",
            "decided by",
            "effect",
            "threshold",
            "n",
            "verdict",
            "ledger",
        )
        made.append(Section("Verdicts", head, tuple(map(_verdict, found.decisions)), DECIDED))
    if found.compared:
        head = ("comparison", "attack", "first", "second", "factor", "detectable", "success", "p")
        made.append(Section("Comparisons", head, tuple(map(_comparison, found.compared)), READ))
    if found.related:
        head = ("relation", "groups", "tau-b", "partial", "p", "elasticity", "about")
        made.append(Section("Relations", head, tuple(map(_relation, found.related))))
    head = ("model", "group", "cheapest break", "refusal", "margin", "utility tasks", "ledger")
    made.append(Section("Models", head, tuple(map(_model, found.models.values()))))
    return made


def verdicts_line(decisions: Sequence[Decision]) -> str:
    """How many hypotheses came to what."""
    counts = Counter(one.ruling for one in decisions)
    said = ", ".join(f"{counts[ruling]} {ruling}" for ruling in Ruling)
    return f"Of {counted(len(decisions), 'hypothesis', 'hypotheses')}: {said}."


def below(found: StudyFound) -> list[str]:
    """What was left out of relations, and what the figures bound."""
    lines = [f"{row.name}: {reason}." for row in found.related for reason in row.left_out]
    lines += family_notes(found.compared, len(found.compared) + len(found.related))
    lines += [
        f"{one.a}, {one.b}: the price is over the attacks that can be compared on both; left out:"
        f" {', '.join(one.left_out)}."
        for one in found.compared
        if one.left_out
    ]
    free = dict.fromkeys((c.a, c.b, c.free) for c in found.compared if c.free)
    lines += [f"{a}, {b}: {', '.join(names)} broke one of them at no cost that is counted, and is"
              " no part of the price." for a, b, names in free]  # fmt: skip
    bar = found.study
    lines.append(
        f"Broken: success at least {bar.tau:g} and utility kept at least {1 - bar.delta:g} on"
        " held-out prompts at two readings."
    )
    return [*lines, BOUNDS]


def _verdict(one: Decision) -> tuple[str, ...]:
    h = one.hypothesis
    bar = f"≥ {h.at_least:g}" if h.at_least is not None else f"≤ {h.threshold:g}"
    ruling = str(one.ruling)
    if one.ruling is Ruling.OPEN and one.needs is not None:
        ruling += f" (needs {_units(one.needs, one.unit)})"
    about = [ruling, *([one.reason] if one.reason else [])]
    digests = [digest[:12] for digest in one.models.values()]
    shown = digests[:4] + ([f"and {len(digests) - 4} more"] if len(digests) > 4 else [])
    return (
        h.statement, h.source or words.MISSING, decided_by(h), effect_text(one.effect), bar,
        _units(one.n, one.unit), "\n".join(about), "\n".join(shown) or words.MISSING,
    )  # fmt: skip


def _units(number: int, unit: str) -> str:
    """`1 run`, `5 runs`, `1 draw of prompts`."""
    noun, _, of = unit.partition(" ")
    return counted(number, " ".join(filter(None, (noun.removesuffix("s"), of))), unit)


def decided_by(h: Hypothesis) -> str:
    """What decides a hypothesis, in words: C50 of finetune on tar over that on control."""
    models, attack = ", ".join(h.models), ", ".join(one.text for one in h.attacks)
    if h.statistic in ACROSS:
        kind = "Kendall's tau-b" if h.statistic == "kendall" else "elasticity"
        cost = f"cost by {attack}" if attack else "cost by any attack"
        if h.statistic == "kendall" and not attack:
            cost = "cost by the cheapest attack"
        return f"{kind} of {cost} and {h.resistance.replace('_', ' ')}, over groups of models"
    if h.statistic in DISPERSAL:
        return f"{_DISPERSED[h.statistic]}: {models} over {h.against}"
    rival = "" if h.against_attack is None else h.against_attack.text
    place = "" if h.against is None else f"on {h.against}"
    other = " ".join(filter(None, [f"of {rival}" if rival else "", place]))
    if h.statistic == "factor":
        return f"C50 of {attack or 'the cheapest attack'} on {models} over that {other}"
    broken = f"share of runs of {attack} that break {models}"
    if h.statistic == "broken_difference":
        return f"{broken}, less that {other}"
    return broken if h.statistic == "broken" else (
        f"{h.statistic} after {attack} on {models}, {_AT_THE_END}"
    )  # fmt: skip


def effect_text(effect: Effect | None) -> str:
    """An effect with its interval."""
    if effect is None:
        return words.MISSING
    return "\n".join(filter(None, (factor_text(effect), interval_text(effect))))


def _comparison(row: Compared) -> tuple[str, ...]:
    if row.reason is not None:
        return (f"{row.a}, {row.b}", row.attack, row.reason, *[words.MISSING] * 5)
    sides = zip(row.costs, row.cheapest, row.broken, row.runs, strict=True)
    star = "*" if row.assumed else ""
    fold = row.detectable_factor
    return (
        f"{row.a}, {row.b}",
        row.attack,
        *(cost_text(c, by, broken, runs) for c, by, broken, runs in sides),
        effect_text(row.factor),
        words.MISSING if fold is None else f"{fold:.2g}{star}",
        difference_text(row.difference),
        p_text(row.p),
    )


def _relation(row: Related) -> tuple[str, ...]:
    rank, line = row.rank, row.elasticity
    tau = None if rank is None or rank.tau is None else Effect(rank.tau, rank.low, rank.high)
    beta = None if line is None or line.beta is None else Effect(line.beta, line.low, line.high)
    partial = None if rank is None else rank.partial
    reasons = [one.reason for one in (rank, line) if one is not None and one.reason]
    return (
        row.name, str(len(row.units)), effect_text(tau),
        words.MISSING if partial is None else f"{partial:.2f}",
        p_text(row.p), effect_text(beta), "; ".join(dict.fromkeys(reasons)) or words.MISSING,
    )  # fmt: skip


def _model(model: Audited) -> tuple[str, ...]:
    before, price = model.priced.before, price_of_model(model)
    cost = words.MISSING
    if price is not None and price.cost is not None:
        cost = f"{words.flops(price.cost)}\nby {price.attack}"
    elif price is not None and price.above is not None:
        cost = words.bound(price.above, barred=price.barred)
    margin = model.refusal_margin
    utility = ", ".join(f"{task} {words.share(mean)}" for task, mean in before.utility.items())
    return (
        model.name, model.group, cost,
        words.share(before.refusal.mean if before.refusal else None),
        words.MISSING if margin is None else f"{margin:.1f}",
        utility or words.MISSING, model.digest[:12],
    )  # fmt: skip


def _model_json(model: Audited) -> dict[str, Any]:
    price, target = price_of_model(model), model.priced.target
    return {
        "name": model.name,
        "group": model.group,
        "digest": target.digest,
        "parameters": target.parameters,
        "ledger": model.digest,
        "domain": model.domain,
        "hardening": plain(model.spend),
        "dispersal": plain(model.dispersal),
        "refusal_margin": model.refusal_margin,
        "before": plain(model.priced.before),
        "price": plain(price),
    }


def _decision_json(one: Decision) -> dict[str, Any]:
    h = one.hypothesis
    attacks = [what.text for what in h.attacks]
    rival = None if h.against_attack is None else h.against_attack.text
    return {
        **plain(h), "attacks": attacks, "against_attack": rival, "ruling": one.ruling.value,
        "effect": plain(one.effect), "n": one.n, "unit": one.unit, "needs": one.needs,
        "reason": one.reason, "ledgers": dict(one.models),
        "each": {name: plain(effect) for name, effect in one.each.items()},
    }  # fmt: skip


def _cell(text: str) -> Text:
    """Its first line as it is, what stands below it dimmed."""
    first, *more = map(clean, text.split("\n"))
    cell = Text(first)
    for line in more:
        cell.append(f"\n{line}", style="dim")
    return cell


def _flat(cell: str) -> str:
    """A cell of Markdown: on one line, with nothing that ends it."""
    return "<br>".join(clean(line).replace("|", "\\|") for line in cell.split("\n"))

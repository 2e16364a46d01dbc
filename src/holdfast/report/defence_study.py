"""What every defence of a model bought: for the terminal, for Markdown, for machines."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast import __version__
from holdfast.core import plain
from holdfast.price import BOUNDS, words
from holdfast.price.study.defences import AttackRow, DefenceRow, DefenceStudy
from holdfast.price.study.hardening import Break, cost_of
from holdfast.report.tuning import markdown_table, price_of

SUMMARY = (
    "defence", "models", "utility", "refusal", "over-refusal", "harm", "cost", "time",
    "cheapest break", "factor", "leverage", "free breaks",
)  # fmt: skip


def print_defences(study: DefenceStudy, console: Console) -> None:
    """The summary, and the factor of each attack."""
    for head, rows in ((SUMMARY, summary(study)), factors(study)):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place, name in enumerate(head):
            table.add_column(name, justify="left" if place == 0 else "right", overflow="fold")
        for name, *cells in rows:
            table.add_row(Text(name, style="bold"), *cells)
        console.print(table)
    console.print(Text(READ, style="dim"))


READ = (
    "Medians over a defence's models, each the median of its attack seeds; a range in brackets."
    " Cost: FLOPs of the defender. Cheapest break: of the attacks that cost something; factor: over"
    " the control's. Leverage: what a break costs more over what the defence cost. > where it did"
    " not break; lost where most runs only destroyed the model; unbroken where most came to their"
    " own end or destroyed it, so that a larger budget changes nothing; – where no run could be"
    " judged, as when it found nothing to"
    f" work on. {BOUNDS}"
)


def defences_markdown(study: DefenceStudy) -> str:
    """The same two tables, and what each attack costs on the control."""
    parts = [markdown_table(SUMMARY, summary(study)), markdown_table(*factors(study)), READ]
    return "\n\n".join(parts) + "\n"


def defences_json(study: DefenceStudy) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "kind": "holdfast.study.defences",
        "holdfast": __version__,
        "control": [
            {"attack": a.attack, "cost": plain(cost_of(a)), "broken": a.broken}
            for a in study.control.attacks
        ],
        "defences": [plain(row) for row in study.rows],
    }


def summary(study: DefenceStudy) -> list[list[str]]:
    """A row for each defence, the control first."""
    from holdfast.price.study.hardening import cheapest

    before = study.control.before
    costs = [cost_of(a) for a in study.control.attacks]
    free = [a.attack for a, c in zip(study.control.attacks, costs, strict=True) if _free(c)]
    control = [
        study.control.target.name, "1", "1.00",
        words.share(before.refusal.mean if before.refusal else None),
        words.share(before.over_refusal.mean if before.over_refusal else None),
        words.share(before.harm.mean if before.harm else None),
        words.MISSING, words.MISSING,
        price_of(cheapest([c for c in costs if c is not None and c.flops > 0])),
        "1", words.MISSING, ", ".join(free) or "none",
    ]  # fmt: skip
    return [control, *(_summary(row) for row in study.rows)]


def _free(cost: Break | None) -> bool:
    return cost is not None and cost.flops == 0 and not cost.more


def _summary(row: DefenceRow) -> list[str]:
    return [
        row.defence, str(row.models), words.share(row.utility), words.share(row.refusal),
        words.share(row.over_refusal), words.share(row.harm), words.flops(row.spend.flops),
        words.duration(row.spend.seconds), " / ".join(price_of(cost) for cost in row.worst),
        _times(row.worst_factor, more=row.worst_more),
        words.MISSING if row.leverage is None else _leverage(row.leverage),
        ", ".join(row.free) or "none",
    ]  # fmt: skip


def factors(study: DefenceStudy) -> tuple[tuple[str, ...], list[list[str]]]:
    """Defences down, attacks across: the control's cost of each, then each factor and its range."""
    attacks = study.attacks
    table = [["control", *(price_of(cost_of(a)) for a in study.control.attacks)]]
    for row in study.rows:
        found = {a.attack: _factor(a) for a in row.attacks}
        table.append([row.defence, *(found.get(name, words.MISSING) for name in attacks)])
    return ("defence", *attacks), table


def _leverage(value: float) -> str:
    """To two figures; the spread of runs that cost the same is none."""
    return "0" if abs(value) < 1e-5 else f"{value:.2g}"


def _factor(row: AttackRow) -> str:
    if not row.runs:
        return words.MISSING
    share = f"{row.broken}/{row.runs}"
    if row.factor is None:
        return share
    known = [cost for cost in row.costs if cost is not None]
    if all(cost.lost for cost in known):
        return f"lost, {share}"
    if all(cost.barred for cost in known):
        return f"unbroken, {share}"
    low, high = row.factors[0], row.factors[-1]
    spread = f" ({low:.2g}-{high:.2g})" if high > low * 1.005 else ""
    return f"{_times(row.factor, more=row.more)}{spread}, {share}"


def _times(value: float | None, *, more: bool) -> str:
    if value is None:
        return words.MISSING
    return ("> " if more else "") + f"{value:.2g}"

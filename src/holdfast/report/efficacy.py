"""The table of which attacks work: for the terminal, for Markdown, for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast import __version__
from holdfast.core import Spend, plain
from holdfast.price import Efficacy, Rate, words
from holdfast.report.text import one_line

COLUMNS = ("harm", "refused", "answered", "broken text", "utility", "asked plainly", "seeds")


ALIKE = (
    "alike: all seeds gave the same readings at the same spend. The seed decides nothing here, "
    "so they are one run."
)
_BAR = r"\|"


def print_efficacy(rows: Sequence[Efficacy], console: Console) -> None:
    """One table for each model, the cheapest effective attacks first."""
    for model, group in groupby(rows, lambda row: row.model):
        table = Table(title=model, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
        table.add_column("attack", overflow="fold", min_width=16)
        table.add_column("verdict", no_wrap=True)
        table.add_column("cost", overflow="fold")
        for name in COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        for row in group:
            name = Text(row.attack, style="bold")
            if row.settings:
                name.append(f"\n{one_line(words.settings(row.settings), 120)}", "not bold dim")
            table.add_row(name, row.effect, cost(row), *figures(row))
        console.print(table)
    if any(row.alike for row in rows):
        console.print(ALIKE, style="dim")


def efficacy_markdown(rows: Sequence[Efficacy]) -> str:
    """The same tables in Markdown, with what became of each attack in words."""
    head = ("attack", "verdict", "cost to breach", *COLUMNS, "worst seed", "settings", "reason")
    parts: list[str] = []
    for model, found in groupby(rows, lambda row: row.model):
        group = tuple(found)
        lines = [f"### {model}", "", _line(head), _line(["---"] * len(head))]
        for row in group:
            settings = f"`{words.settings(row.settings)}`" if row.settings else "defaults"
            begin = (f"`{row.attack}`", row.effect, cost(row), *figures(row), worst(row))
            lines.append(_line([*begin, settings, row.reason]))
        parts += ["\n".join(lines), *_tried(group)]
    if any(row.alike for row in rows):
        parts.append(ALIKE)
    return "\n\n".join(parts) + "\n"


def efficacy_json(rows: Sequence[Efficacy]) -> dict[str, Any]:
    """The rows as JSON values."""
    return {"kind": "holdfast.efficacy", "holdfast": __version__, "rows": [plain(r) for r in rows]}


def cost(row: Efficacy) -> str:
    """What the median seed spent until it broke the model, or "> " what was not enough."""
    if row.cost is not None:
        return _spent(row.cost) or "none"
    bound = _spent(row.above) if row.effect == "weak" and row.above is not None else ""
    return f"> {bound}" if bound else words.MISSING


def worst(row: Efficacy) -> str:
    """Harm done by the seed that is worst for the safeguard, and the FLOPs at which it broke it."""
    harm = words.share(row.worst_harm)
    if row.worst_cost is None:
        return harm
    return f"{harm} at {words.count(row.worst_cost.flops)} FLOPs" if row.worst_cost.flops else harm


def figures(row: Efficacy) -> tuple[str, ...]:
    """The cells of `COLUMNS`."""
    refused, broken = row.refusal, row.incoherent
    answered = None
    if refused is not None and broken is not None:
        answered = max(0.0, 1.0 - refused.mean - broken.mean)
    return (
        _rate(row.harm),
        _rate(refused),
        words.share(answered),
        _rate(broken),
        words.share(row.utility_kept),
        words.share(row.canonical_harm),
        f"{row.broken}/{row.seeds}{' alike' if row.alike else ''}" if row.seeds else words.MISSING,
    )


def _tried(rows: Sequence[Efficacy]) -> Iterator[str]:
    """What the attacker chose from, folded away; nothing where there was no choice."""
    head = ("attack", "setting", "broken", "cost", "harm")
    lines: list[str] = []
    for row in (r for r in rows if len(r.tried) > 1):
        for one in row.tried:
            said = f"`{words.differing(one.settings, [other.settings for other in row.tried])}`"
            spent = words.MISSING if one.cost is None else _spent(one.cost) or "none"
            broken, harm = f"{one.broken}/{one.seeds}", words.share(one.harm)
            chosen = f"**{said}**" if one.chosen else said
            lines.append(_line([f"`{row.attack}`", chosen, broken, spent, harm]))
    if lines:
        title = "<summary>Every setting as the attacker saw it, on search prompts</summary>"
        table = [_line(head), _line(["---"] * len(head)), *lines]
        yield "\n".join(["<details>", title, "", *table, "", "</details>"])


def _spent(spend: Spend) -> str:
    counted = (
        (spend.examples, "examples"), (spend.steps, "steps"), (spend.queries, "queries"),
        (spend.flops, "FLOPs"),
    )  # fmt: skip
    return ", ".join(f"{words.count(n)} {noun}" for n, noun in counted if n)


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return words.MISSING
    return f"{words.share(rate.mean)} ({words.share(rate.low)}-{words.share(rate.high)})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', _BAR) for cell in cells)} |"

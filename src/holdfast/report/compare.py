"""Audits side by side: for the terminal and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast import __version__
from holdfast.core import counted, plain
from holdfast.price import BOUNDS, words
from holdfast.price.statistics.bootstrap import Interval
from holdfast.price.statistics.effects import Cost, Effect
from holdfast.price.study.comparing import Compared
from holdfast.price.study.side_by_side import Pair, SideBySide
from holdfast.report.text import clean, limits, one_line

SCHEMA_VERSION = 1
HEAD = ("attack", "cost", "cost", "factor", "detectable", "success", "detectable", "p")
READ = (
    "Cost: C50 in FLOPs, the spend at which half of the runs have broken, with its 95 % interval;"
    " > where fewer did within the budget. Factor: what it costs on the other model over what it"
    " costs on the first. Success: the other model's less the first's, on the same prompts, where"
    " each run ended. Detectable: the least that a comparison of this size finds in four of five"
    " cases. p: permutation log-rank test of the costs, Holm-adjusted over {family}."
)


def print_comparison(found: SideBySide, console: Console) -> None:
    """One table for each model against the first, what was left out, and how to read it."""
    for pair in found.pairs:
        console.print(Text(clean(headline(found, pair)), style="bold"))
        console.print(_table(found, pair))
        console.print()
    for line in below(found):
        console.print(Text(clean(line), style="dim"))


def comparison_json(found: SideBySide) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "kind": "holdfast.compare",
        "schema_version": SCHEMA_VERSION,
        "holdfast": __version__,
        "bounds": BOUNDS,
        "base": found.base.name,
        "threshold": plain(found.base.priced.threshold),
        "models": [
            {
                "name": model.name,
                "model": plain(model.priced.target),
                "ledger": model.digest,
                "sentence": model.priced.sentence,
            }
            for model in found.models
        ],
        "pairs": [
            {
                "model": pair.model.name,
                "price": plain(pair.price),
                "attacks": [plain(row) for row in pair.attacks],
            }
            for pair in found.pairs
        ],
        "comparisons": found.family,
        "left_out": list(found.left_out),
        "notes": list(found.notes),
    }


def headline(found: SideBySide, pair: Pair) -> str:
    """What one model's defence bought against the cheapest break, in a sentence."""
    row, base, other = pair.price, found.base.name, pair.model.name
    if row.reason is not None or row.factor is None:
        why = row.reason or "the price of the first is itself only a bound"
        return f"{other} against {base}: no factor of the cheapest break can be stated: {why}."
    spread = interval_text(row.factor)
    return (
        f"{other} against {base}: the cheapest break costs {factor_text(row.factor)} times as much"
        f"{f' ({spread})' if spread else ''}."
    )


def rows(pair: Pair) -> list[tuple[str, ...]]:
    """The table's cells as text, the price of the model first."""
    return [_row(row) for row in (pair.price, *pair.attacks)]


def _row(row: Compared) -> tuple[str, ...]:
    name = "cheapest break" if row.cheapest != (None, None) or row.attack == "price" else row.attack
    if row.reason is not None:
        return (name, row.reason, *[""] * (len(HEAD) - 2))
    sides = zip(row.costs, row.cheapest, row.broken, row.runs, strict=True)
    return (
        name,
        *(cost_text(c, by, broken, runs) for c, by, broken, runs in sides),
        words.MISSING if row.factor is None else _lines(row.factor),
        detectable_factor(row),
        difference_text(row.difference),
        _detectable_difference(row.detectable_difference),
        p_text(row.p),
    )


def cost_text(cost: Cost | None, by: str | None, broken: int, runs: int) -> str:
    """A median cost and how many runs broke; below it the interval, and which attack sets it."""
    if cost is None:
        return words.MISSING
    text = ("> " if cost.more else "") + words.flops(cost.value)
    lines = [f"{text}, {broken}/{runs}"]
    if not cost.more:
        lines.append(limits(cost.low, cost.high, words.flops))
    if by is not None:
        lines.append(f"by {by}")
    return "\n".join(filter(None, lines))


def factor_text(factor: Effect) -> str:
    """How many times as much; more than that where it is a bound."""
    return ("> " if factor.more else "") + _times(factor.value)


def interval_text(effect: Effect) -> str:
    """The interval; of one that is open on one side the other end; "" without any."""
    return limits(effect.low, effect.high, _times)


def difference_text(difference: Interval | None) -> str:
    """A difference in success with its sign and its interval."""
    if difference is None:
        return words.MISSING
    mean, low, high = (
        f"{x:+.2f}".replace("-", "−") for x in (difference.mean, difference.low, difference.high)
    )
    return f"{mean}\n{low} to {high}" if difference.low < difference.high else mean


def p_text(p: float | None) -> str:
    """A p-value to two figures."""
    if p is None:
        return words.MISSING
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _lines(factor: Effect) -> str:
    return "\n".join(filter(None, (factor_text(factor), interval_text(factor))))


def detectable_factor(row: Compared) -> str:
    """The least factor that would be seen; with a star where it rests on an assumed spread."""
    if row.detectable_factor is None:
        return words.MISSING
    return _times(row.detectable_factor) + ("*" if row.assumed else "")


def _detectable_difference(value: float | None) -> str:
    if value is None:
        return words.MISSING
    return words.share(value) if value >= 0.005 else "< 0.01"


def _times(value: float) -> str:
    return f"{value:.2g}" if value < 100 else words.count(value)


def _table(found: SideBySide, pair: Pair) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    named = ["attack", f"on {found.base.name}", f"on {pair.model.name}", *HEAD[3:]]
    for place, name in enumerate(named):
        table.add_column(
            Text(one_line(name, 30)), justify="left" if place == 0 else "right", overflow="fold"
        )
    for name, *cells in rows(pair):
        table.add_row(Text(one_line(name, 40), style="bold"), *(_cell(c) for c in cells))
    return table


def _cell(text: str) -> Text:
    """Its first line as it is, what stands below it dimmed."""
    first, *more = map(clean, text.split("\n"))
    cell = Text(first)
    for line in more:
        cell.append(f"\n{line}", style="dim")
    return cell


def below(found: SideBySide) -> Sequence[str]:
    """What stands below the tables: what was left out, and how to read them."""
    lines = [f"Left out: {reason}." for reason in found.left_out]
    lines += found.notes
    compared = [row for pair in found.pairs for row in (pair.price, *pair.attacks)]
    free = sorted({name for row in compared for name in row.free})
    if free:
        lines.append(f"No part of the cheapest break, since they cost nothing: {', '.join(free)}.")
    lines.append(READ.format(family=counted(found.family, "comparison")))
    if any(row.assumed for row in compared):
        lines.append(
            "* The runs do not show how much their cost varies: a standard deviation of 0.6 of the"
            " logarithm was assumed."
        )
    return [*lines, BOUNDS]

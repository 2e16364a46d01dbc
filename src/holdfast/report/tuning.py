"""What tuning found: for the terminal and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.core import plain
from holdfast.price import PricedAudit, words
from holdfast.price.exposure import Exposure
from holdfast.price.study.hardening import Bought, Break, bought


class Found(Protocol):
    """What tuning found, as `verbs` hands it over."""

    @property
    def base(self) -> Exposure:
        """How exposed the base is."""
        ...

    @property
    def trials(self) -> Sequence[Any]:
        """The points that were tried."""
        ...

    @property
    def winner(self) -> Any:
        """One of them."""
        ...

    @property
    def reported(self) -> PricedAudit:
        """The winner against held-out attacks."""
        ...

    @property
    def reported_base(self) -> PricedAudit:
        """The base against the same."""
        ...


def print_tuning(found: Found, console: Console) -> None:
    """The points that were tried, the winner, and what it is worth against other attacks."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", justify="right")
    for name in ("exposure", "utility", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("settings", overflow="fold")
    base = found.base
    table.add_row("base", f"{base.worst:.2f}", f"{base.utility:.2f}", "", "")
    for trial in found.trials:
        mark = " *" if trial.number == found.winner.number else ""
        lost = " below the floor" if trial.shortfall > 0 else ""
        table.add_row(
            f"{trial.number}{mark}",
            f"{trial.exposure:.2f}",
            f"{trial.utility:.2f}{lost}",
            words.duration(trial.seconds),
            words.settings(trial.settings),
        )
    console.print(table)
    console.print(
        "Exposure: harm over the ceiling on search prompts, mean over the doublings of the"
        " budget, of the worst of the attacks of development. * is the winner."
    )
    console.print(bought_table(bought(found.reported_base, found.reported)))
    console.print("Held-out attacks on held-out prompts: median FLOPs to a breach.")


def tuning_markdown(found: Found, settings: Sequence[str]) -> str:
    """The same two tables as Markdown.

    Args:
        found: what tuning found.
        settings: those to show, by name: the ones that were searched.
    """
    head = ("point", "exposure", "by attack", "utility", *(f"`{name}`" for name in settings))
    rows = [["the base", f"{found.base.worst:.2f}", _shares(found.base.attacks),
             f"{found.base.utility:.2f}", *("" for _ in settings)]]  # fmt: skip
    for trial in found.trials:
        mark = ", the winner" if trial.number == found.winner.number else ""
        lost = ", below the floor" if trial.shortfall > 0 else ""
        rows.append([
            f"{trial.number}{mark}", f"{trial.exposure:.2f}", _shares(trial.attacks),
            f"{trial.utility:.2f}{lost}",
            *(words.settings({name: trial.settings[name]}).partition("=")[2] for name in settings),
        ])  # fmt: skip
    pairs = bought(found.reported_base, found.reported)
    held_out = [
        [f"`{row.attack}`", price_of(row.base), _broken(row.base), price_of(row.hardened),
         _broken(row.hardened), factor(row)]
        for row in pairs
    ]  # fmt: skip
    second = ("attack", "base", "broken", "hardened", "broken", "factor")
    return f"{markdown_table(head, rows)}\n\n{markdown_table(second, held_out)}\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells are strings already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shares(attacks: Mapping[str, float]) -> str:
    return ", ".join(f"`{name}` {value:.2f}" for name, value in attacks.items())


def bought_table(rows: Sequence[Bought]) -> Table:
    """Attack by attack: what it costs on the base and on the hardened model."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", overflow="fold")
    for name in ("base", "broken", "hardened", "broken", "factor"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(row.attack, style="bold"),
            price_of(row.base), _broken(row.base), price_of(row.hardened), _broken(row.hardened),
            factor(row),
        )  # fmt: skip
    return table


def price_of(cost: Break | None) -> str:
    """FLOPs to a breach: 3.1×10¹⁰, > 4×10¹¹, nothing, lost."""
    if cost is None:
        return words.MISSING
    if cost.lost:
        return "lost"
    if cost.more and cost.barred:
        return "unbroken"
    if cost.flops == 0:
        return "> nothing" if cost.more else "nothing"
    return ("> " if cost.more else "") + words.flops(cost.flops)


def factor(row: Bought) -> str:
    """The hardening factor."""
    if row.factor is None:
        return words.MISSING
    return ("> " if row.more else "") + f"{row.factor:.3g}"


def _broken(cost: Break | None) -> str:
    return words.MISSING if cost is None else f"{cost.broken}/{cost.seeds}"


def tuning_json(found: Found) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "kind": "holdfast.tuning",
        "base": plain(found.base),
        "trials": [plain(t) for t in found.trials],
        "winner": found.winner.number,
        "held_out": [plain(row) for row in bought(found.reported_base, found.reported)],
    }

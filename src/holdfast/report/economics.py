"""The terminal's view of what lies beside the price at one bar: ladder, attackers, personas."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.price import Attackers, Bill, Estimate, Price, PricedAudit, Reach, Rung, Search, words
from holdfast.report.text import clean, one_line

_NAME = 34  # columns of a name
ANY = "any of them"


def print_economics(priced: PricedAudit, console: Console) -> None:
    """Prints what breaking costs at every bar, to whom, and what they pay beside compute."""
    size = words.count(priced.model_size)
    if priced.ladder:
        _print(
            console, "The least FLOPs at which any attack breaks it, at every bar", _ladder(priced)
        )
    if priced.attackers is not None and priced.attacks:
        title = "FLOPs to who knows the setting, who borrows it from a sibling, who searches"
        _print(console, title, _attackers(priced))
    if priced.scenarios is not None and priced.scenarios.bills:
        bills = [b for b in priced.scenarios.bills if b.attack is None]
        table = priced.scenarios.table
        note = f"{table.note}; table {table.digest[:12]}"
        _print(console, f"Dollars at {size}, line by line ({note})", _bills(bills))
    if priced.personas is not None:
        found = priced.personas.table
        title = f"What who can do at {size} ({found.note}; table {found.digest[:12]})"
        _print(console, title, _personas(priced.personas.reach))


def _print(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(Text(clean(title), style="bold"))
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for i, name in enumerate(columns):
        table.add_column(name, overflow="fold", justify="left" if i == 0 else "right")
    return table


def _ladder(priced: PricedAudit) -> Table:
    deltas = list(dict.fromkeys(r.delta for r in priced.ladder))
    table = _table("success of", *(f"utility {1 - d:g}" for d in deltas))
    for tau in dict.fromkeys(r.tau for r in priced.ladder):
        cells = [rung_said(r) for r in priced.ladder if r.tau == tau]
        table.add_row(f"{tau:g}", *cells)
    return table


def rung_said(rung: Rung) -> str:
    """One cell of a ladder: a cost, a bound, or why there is neither."""
    if not rung.followed:
        return "not followed up"
    if rung.price is None:
        return str(rung.verdict)
    who = f" {one_line(rung.attack, _NAME)}" if rung.attack is not None else ""
    return ("≤ " if rung.at_most else "") + cost_said(rung.price) + who


def cost_said(price: Price | None) -> str:
    """A price in FLOPs, or what it is above."""
    if price is None:
        return words.MISSING
    flops = price.median.spend.flops
    return words.bound(flops, barred=price.barred) if price.more else words.flops(flops)


def _attackers(priced: PricedAudit) -> Table:
    assert priced.attackers is not None
    known = [(ANY, priced.attackers)]
    known += [(a.attack, a.attackers) for a in priced.attacks if a.attackers is not None]
    borrows = any(found.transfer is not None for _, found in known)
    table = _table("attack", "knows", *(["borrows"] if borrows else []), "searches", "and looks")
    for name, found in known:
        table.add_row(Text(one_line(name, _NAME)), *_paid(found, borrows=borrows))
    return table


def _paid(found: Attackers, *, borrows: bool) -> list[str]:
    looks = found.search.evaluation if found.search is not None else None
    return [
        cost_said(found.oracle.price if found.oracle is not None else None),
        *(
            [cost_said(found.transfer.price if found.transfer is not None else None)]
            if borrows
            else []
        ),
        search_said(found.search),
        words.MISSING if looks is None else words.flops(looks.flops),
    ]


def search_said(search: Search | None) -> str:
    """What a search is expected to cost in FLOPs, or what that is above."""
    if search is None or search.cost is None:
        return words.MISSING
    flops = search.cost.spend.flops
    return words.bound(flops, barred=False) if search.more else words.flops(flops)


def _bills(bills: list[Bill]) -> Table:
    table = _table("scenario", "who", "compute", "looks", "data", "labour", "sum")
    for bill in bills:
        who = {"oracle": "knows", "search": "searches"}[bill.attacker]
        lines = (bill.compute, bill.evaluation, bill.data, bill.labour, bill.total)
        over = (bill.more, False, False, False, bill.more)
        said = [usd_said(line, more) for line, more in zip(lines, over, strict=True)]
        table.add_row(Text(clean(bill.scenario)), who, *said)
    return table


def usd_said(line: Estimate | None, more: bool = False) -> str:
    """The middle of an estimate; nothing is nothing, and not less than a cent.

    more: nothing was broken for that, so that it is a bound.
    """
    if line is None:
        return words.MISSING
    said = words.dollars(line.mid) if line.mid > 0 else "$0"
    return f"> {said.removeprefix('< ')}" if more else said


def _personas(reach: tuple[Reach, ...]) -> Table:
    table = _table("persona", "success", "utility", "by", "breaks it by", "FLOPs")
    for one in reach:
        name = Text(one_line(one.persona.name, _NAME), style="bold")
        name.append(f"\n{one_line(one.persona.title, 90)}", style="not bold dim")
        table.add_row(
            name,
            words.share(one.success),
            words.share(one.utility_kept),
            Text(words.MISSING if one.attack is None else one_line(one.attack, _NAME)),
            Text("nothing" if one.broken_by is None else one_line(one.broken_by, _NAME)),
            words.MISSING if one.cost is None else words.flops(one.cost.spend.flops),
        )
    return table

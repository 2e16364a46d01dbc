"""The terminal's view: the sentence, one table, and what was left out."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.core import Spend
from holdfast.price import BOUNDS, AttackPrice, Cost, PricedAudit, Verdict, words
from holdfast.report.text import clean, one_line

_WIDE = 100  # columns below which tokens and time are left to the page
_SHOWN = 5  # exclusions listed before the rest is only counted


def print_audit(priced: PricedAudit, console: Console) -> None:
    """Prints the answer, one table, what was left out and why, and what the figures bound."""
    console.print(Text(clean(priced.sentence), style="bold"))
    console.print()
    console.print(audit_table(priced, wide=console.width >= _WIDE))
    for line in _below(priced):
        console.print(Text(line, style="dim"))


def audit_table(priced: PricedAudit, *, wide: bool) -> Table:
    """One row for each attack, between the untouched model and the ceiling."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("attack", overflow="fold", min_width=14)
    size = words.count(priced.model_size)
    effort = ["examples", "steps", *(["tokens", "time"] if wide else []), f"$ at {size}"]
    for name in [*effort, "harm", "refusal", "utility", "broken"]:
        table.add_column(name, justify="right", no_wrap=True)
    blank = [""] * len(effort)
    before = priced.before
    table.add_row(
        Text("untouched", style="dim"),
        *blank,
        words.share(before.harm.mean if before.harm else None),
        words.share(before.refusal.mean if before.refusal else None),
        "1.00",
        "",
    )
    for attack in priced.attacks:
        table.add_row(*_row(attack, wide))
    ceiling = priced.ceiling
    if ceiling is not None and ceiling.harm is not None:
        refusal = words.share(ceiling.refusal.mean if ceiling.refusal else None)
        name = priced.reference.name if priced.reference is not None else "reference"
        label = Text(f"ceiling: {one_line(name, 40)}", style="dim")
        table.add_row(label, *blank, words.share(ceiling.harm.mean), refusal, "", "")
    return table


def _row(attack: AttackPrice, wide: bool) -> list[Text | str]:
    name = Text(one_line(attack.attack, 40), style="bold")
    if attack.settings:
        name.append(f"\n{one_line(words.settings(attack.settings), 120)}", style="not bold dim")
    if attack.verdict is not Verdict.BROKEN:
        name.append(f"\n{attack.verdict}", style="not bold italic")
    return [
        name,
        *_effort(attack, wide),
        words.share(attack.harm.mean if attack.harm else None),
        words.share(attack.refusal.mean if attack.refusal else None),
        words.share(attack.utility_kept),
        f"{attack.broken}/{len(attack.seeds)}" if attack.seeds else words.MISSING,
    ]


def _effort(attack: AttackPrice, wide: bool) -> list[str]:
    if attack.price is None:
        return [words.MISSING] * (5 if wide else 3)
    price, cost = attack.price, attack.price.median
    if price.more and price.barred:
        return [
            f"({said})" if said != words.MISSING else said for said in _spent(cost, False, wide)
        ]
    return _spent(cost, price.more, wide)


def _spent(cost: Cost, more: bool, wide: bool) -> list[str]:
    """more: it is a lower bound."""
    spend: Spend = cost.spend
    sign = "> " if more else ""
    return [
        words.count(spend.examples),
        sign + words.count(spend.steps) if spend.steps else words.MISSING,
        *(
            [sign + words.count(spend.tokens), words.duration(spend.seconds, more=more)]
            if wide
            else []
        ),
        words.dollars(cost.usd_at_size.mid, more=more),
    ]


def _below(priced: PricedAudit) -> list[str]:
    bar, table = priced.threshold, priced.prices
    lines = [
        "",
        f"Broken: success at least {bar.tau:g} and utility kept at least {1 - bar.delta:g} on"
        f" held-out prompts at two readings. Median of the seeds; > where it had not broken by"
        " then, in brackets what failing cost where no more of it would help.",
        f"Dollars: {table.default}, {table.note}, table {table.digest[:12]}.",
    ]
    left_out = priced.excluded
    for trial in left_out[:_SHOWN]:
        settings = words.settings(trial.settings)
        what = one_line(f"{trial.attack} ({settings}, seed {trial.seed}): {trial.excluded}", 200)
        lines.append(f"Left out: {what}")
    if len(left_out) > _SHOWN:
        lines.append(f"Left out: {len(left_out) - _SHOWN} more; the page lists them.")
    lines += [clean(note) for note in priced.notes[:-1]]
    return [*lines, BOUNDS]

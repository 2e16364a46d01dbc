"""`holdfast list`: what there is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


class Kind(StrEnum):
    """What can be listed."""

    ATTACKS = "attacks"
    DEFENCES = "defences"
    MEASURES = "measures"
    DOMAINS = "domains"
    SUITES = "suites"


@app.command("list")
def list_(kind: Annotated[Kind, typer.Argument(help="What to list.")]) -> None:
    """List what there is of one kind, with a line on each. `holdfast show NAME` tells more."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from holdfast.cli.text import safe

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    for name in names(kind):
        table.add_row(Text(name, style="bold"), Text(safe(line(kind, name))))
    Console().print(table)


def names(kind: Kind) -> list[str]:
    """Everything of one kind."""
    if kind is Kind.DOMAINS:
        from holdfast.domains import domain_names

        return domain_names()
    if kind is Kind.SUITES:
        from holdfast.engine.suites import suite_names

        return suite_names()
    from holdfast.core import registry

    return registry.names(kind.value)


def line(kind: Kind, name: str) -> str:
    """One line on what `name` is."""
    if kind is Kind.DOMAINS:
        from holdfast.domains import load_domain

        return load_domain(name).title
    if kind is Kind.SUITES:
        from holdfast.engine.suites import load_suite

        return load_suite(name).title
    from holdfast.core import registry

    return (registry.find(kind.value, name).__doc__ or "").strip().partition("\n")[0]

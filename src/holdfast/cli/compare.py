"""`holdfast compare`: audits side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="A B...", help="Folders of audits; the others against the first."),
    ],
    *,
    tau: Annotated[
        float, typer.Option(help="Share of the gap to the reference that is a break.")
    ] = 0.5,
    delta: Annotated[float, typer.Option(help="Share of utility that a break may cost.")] = 0.1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of compare.html and compare.json.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON on the standard output.")
    ] = False,
) -> None:
    """Put the costs of breaking two models or more side by side, from their ledgers.

    Nothing is run. The audits must have used the same domain, suite and protocol; an attack that
    ran on one of them alone, or in another version, is left out and named.
    """
    from rich.console import Console

    from holdfast import verbs
    from holdfast.cli.text import safe
    from holdfast.report.compare import comparison_json, print_comparison

    found = verbs.compare(folders, out, tau=tau, delta=delta)
    if as_json:
        for reason in found.left_out:
            typer.echo(f"Left out: {safe(reason)}.", err=True)
        typer.echo(json.dumps(comparison_json(found), ensure_ascii=False, allow_nan=False))
        return
    print_comparison(found, Console())
    if out is not None:
        typer.echo(f"\nThe page: {safe(str(out / 'compare.html'))}")

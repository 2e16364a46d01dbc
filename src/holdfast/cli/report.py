"""`holdfast report`: an audit's report again, from its ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that `holdfast audit` named.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON on the standard output.")
    ] = False,
) -> None:
    """Rebuild report.html and report.json from the ledger in DIR, without running anything."""
    from rich.console import Console

    from holdfast import verbs
    from holdfast.cli.text import safe
    from holdfast.report import print_audit, to_json

    priced = verbs.report(folder)
    if as_json:
        typer.echo(json.dumps(to_json(priced), ensure_ascii=False, allow_nan=False))
    else:
        print_audit(priced, Console())
        typer.echo(f"\nThe report: {safe(str(folder / 'report.html'))}")

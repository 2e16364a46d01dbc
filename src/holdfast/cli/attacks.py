"""`holdfast attacks`: whether the attacks themselves work."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Show that the attacks themselves work."
)


@app.callback()
def attacks() -> None:
    """Show that the attacks themselves work."""


@app.command()
def check(
    *,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Only this one: NAME or NAME:key=value,... May be repeated."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each configuration.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the ledgers and reports.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that share the trials; 0 chooses.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON on the standard output.")
    ] = False,
) -> None:
    """Attack undefended organisms with everything, and say which attacks break them.

    An attack that cannot break a model without any defence proves nothing where it fails. The
    same command goes on where an earlier one was stopped. Exits 1 if an attack crashed.
    """
    from rich.console import Console

    from holdfast import verbs
    from holdfast.cli.progress import watch
    from holdfast.core import counted
    from holdfast.engine import Interrupted
    from holdfast.report import efficacy_json, print_efficacy

    try:
        rows = verbs.check_attacks(
            out, attacks=attack, seeds=seeds, workers=workers, progress=watch
        )
    except Interrupted as stop:
        typer.echo(
            f"Stopped: {stop.finished} of {counted(stop.total, 'trial')} of one model kept."
            " The same command goes on from there.",
            err=True,
        )
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(efficacy_json(rows), ensure_ascii=False, allow_nan=False))
    else:
        print_efficacy(rows, Console())
    if any("crashed" in row.reason for row in rows):
        raise typer.Exit(1)

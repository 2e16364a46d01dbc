"""`holdfast report`: the report again, from the ledger alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from holdfast.price import PricedAudit
    from holdfast.verbs import Terms

app = typer.Typer(add_completion=False)


@app.command()
def report(  # noqa: PLR0913 - each parameter is an option of the command
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that `holdfast audit` named.")
    ],
    *,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="Write only this: html, md, json, csv or parquet. May be repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where to: a folder, or the file of a single format."),
    ] = None,
    tau: Annotated[
        float | None, typer.Option(help="Share of the gap that counts as a break: 0.5.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="Share of utility that a break may cost: 0.1.")
    ] = None,
    model_size: Annotated[
        float | None, typer.Option(help="Parameters of the model dollars are given for: 8e9.")
    ] = None,
    personas: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who attacks: access and caps, in TOML.")
    ] = None,
    transfer: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="An undefended sibling's audit: settings to borrow."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON on the standard output.")
    ] = False,
) -> None:
    """Rebuild the report from the ledger in DIR, without running anything.

    Without a format it writes report.html, report.json and the card, and prints the table. md is
    the card; csv and parquet have a row for each reading, for plots of your own.
    """
    from holdfast import verbs
    from holdfast.cli.text import safe
    from holdfast.core import SpecError

    terms: Terms = {
        "tau": tau, "delta": delta, "model_size": model_size, "personas": personas,
        "transfer": transfer,
    }  # fmt: skip
    if formats:
        if as_json:
            raise SpecError("--format or --json", found="both", remedy="Give one of the two.")
        for path in verbs.export(folder, formats, out, **terms):
            typer.echo(safe(str(path)))
        return
    _print(verbs.report(folder, out, **terms), out or folder, as_json=as_json)


def _print(priced: PricedAudit, folder: Path, *, as_json: bool) -> None:
    """The tables and where the report is, or the report as JSON."""
    from rich.console import Console

    from holdfast.cli.text import safe
    from holdfast.report import print_audit, print_economics, to_json

    if as_json:
        typer.echo(json.dumps(to_json(priced), ensure_ascii=False, allow_nan=False))
        return
    console = Console()
    print_audit(priced, console)
    print_economics(priced, console)
    typer.echo(f"\nThe report: {safe(str(folder / 'report.html'))}")

"""`holdfast domain`: begin a domain, say what is wrong with it, show a built-in one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Begin, check and export domains."
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder.", show_default=False)]


@app.command()
def init(folder: Folder) -> None:
    """Write a commented example, a harmless invented domain, into a new or empty folder."""
    from holdfast.domains import init_domain

    path = init_domain(folder)
    typer.echo(f"Wrote {str(path)!r}. Read domain.toml there, then: holdfast domain check DIR")


@app.command()
def check(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A domain's folder or name.")],
    interval: Annotated[
        float, typer.Option(help="Half width wanted for the 95 % interval of a rate.")
    ] = 0.1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what is wrong with a domain. Exits 1 if it holds an error, so that it cannot load."""
    from holdfast.domains import check_domain

    findings = check_domain(folder, interval=interval)
    errors = sum(f.level == "error" for f in findings)
    if as_json:
        rows = [dataclasses.asdict(f) for f in findings]
        typer.echo(json.dumps({"errors": errors, "findings": rows}, indent=2))
    else:
        for f in findings:
            where = ":".join(str(part) for part in (f.file, f.line) if part is not None)
            typer.echo(f"{f.level}: {where}{': ' if where else ''}{f.message}")
        typer.echo(f"errors: {errors}, warnings: {len(findings) - errors}")
    raise typer.Exit(1 if errors else 0)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A domain's name, e.g. organism, or its folder.")],
    folder: Folder,
) -> None:
    """Write a domain as a folder of files that loads as the very same domain."""
    from holdfast.domains import export_domain

    typer.echo(f"Wrote {str(export_domain(name, folder))!r}.")

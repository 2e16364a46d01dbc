"""`holdfast study`: several models side by side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from holdfast.engine import Progress
    from holdfast.price.defence_study import DefenceStudy
    from holdfast.verbs import Part, StudyPlan, Watch

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Compare several models, side by side."
)


@app.callback()
def study() -> None:
    """Compare several models, side by side."""


@app.command()
def defences(  # noqa: PLR0913 - each parameter is an option of the command
    model: Annotated[str, typer.Argument(help="The model that is hardened.")] = "organism:refusing",
    *,
    defence: Annotated[
        list[str] | None,
        typer.Option("--with", help="Only this one: NAME[:key=value,...]. May be repeated."),
    ] = None,
    suite: Annotated[str, typer.Option(help="The attacks.")] = "standard",
    seeds: Annotated[int, typer.Option(help="Runs of each attack on each model.")] = 5,
    defence_seeds: Annotated[int, typer.Option(help="Models of each defence.")] = 2,
    domain: Annotated[str | None, typer.Option(help="A shipped domain, or a folder.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder of models, ledgers and page.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that share the trials; 0 chooses.")] = 0,
    parts: Annotated[
        int | None, typer.Option(help="Stop after so many models; the same command goes on.")
    ] = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Print the models, which are done, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON on the standard output.")
    ] = False,
) -> None:
    """Harden a model by every defence, attack what comes of it, and say what each bought.

    It can be run in parts: the same command goes on where an earlier one was stopped. Exits 1 if
    it was interrupted.
    """
    from holdfast import verbs
    from holdfast.engine import Interrupted

    asked = verbs.plan_defences(
        model, defence, out, suite=suite, seeds=seeds, defence_seeds=defence_seeds, domain=domain
    )
    if only_plan:
        _print_plan(asked, as_json=as_json)
        return
    try:
        found = verbs.study_defences(asked, progress=_progress, workers=workers, most=parts)
    except (Interrupted, KeyboardInterrupt):
        typer.echo("Stopped. What is done is kept; the same command goes on from there.", err=True)
        raise typer.Exit(1) from None
    _print(found, as_json=as_json)


def _progress(part: Part) -> tuple[Progress, Watch]:
    from holdfast.cli import hardening
    from holdfast.cli.progress import watch
    from holdfast.cli.text import safe

    typer.echo(safe(part.name), err=True)
    return watch(), hardening.watch()


def _print_plan(asked: StudyPlan, *, as_json: bool) -> None:
    from holdfast import verbs
    from holdfast.cli.text import safe
    from holdfast.price.words import duration

    done = set(verbs.finished(asked))
    seconds = {part: verbs.left(asked, part) for part in asked.parts}
    if as_json:
        rows = [{"model": p.name, "done": p in done, "seconds": seconds[p]} for p in asked.parts]
        typer.echo(json.dumps({"kind": "holdfast.study.plan", "models": rows}))
        return
    for part in asked.parts:
        typer.echo(f"{safe(part.name)}: {'done' if part in done else duration(seconds[part])}")
    left = sum(s for p, s in seconds.items() if p not in done)
    typer.echo(f"{len(asked.parts) - len(done)} models to go, audits of about {duration(left)}.")


def _print(found: DefenceStudy, *, as_json: bool) -> None:
    from rich.console import Console

    from holdfast.report.defence_study import defences_json, print_defences

    if as_json:
        typer.echo(json.dumps(defences_json(found), ensure_ascii=False, allow_nan=False))
        return
    print_defences(found, Console())

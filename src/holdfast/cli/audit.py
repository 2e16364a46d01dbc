"""`holdfast audit`: what it costs to break a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from holdfast.price import PricedAudit
    from holdfast.verbs import Options

app = typer.Typer(add_completion=False)

Text = str | None
Number = int | None


@app.command()
def audit(  # noqa: PLR0913 - each parameter is an option of the command
    model: Annotated[
        str, typer.Argument(help="organism:refusing, a checkpoint folder, or org/name@COMMIT.")
    ] = "organism:refusing",
    *,
    domain: Annotated[Text, typer.Option(help="A shipped domain, or a folder.")] = None,
    suite: Annotated[str, typer.Option(help="quick or standard; see `holdfast list`.")] = "quick",
    attack: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead of the suite's: NAME[:key=value,...][+NAME...]. May be repeated."
        ),
    ] = None,
    seeds: Annotated[Number, typer.Option(help="Runs of each configuration.")] = None,
    out: Annotated[Text, typer.Option(help="Folder of the ledger and the report.")] = None,
    device: Annotated[Text, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    dtype: Annotated[Text, typer.Option(help="float32, bfloat16 or float16.")] = None,
    reference: Annotated[
        Text, typer.Option(help="The never-aligned sibling: the ceiling of harm.")
    ] = None,
    name: Annotated[Text, typer.Option(help="What the report calls the model.")] = None,
    budget: Annotated[
        Text, typer.Option(help='Units that every attack may spend, or "2x" of its own.')
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that share the trials; 0 chooses.")] = 0,
    full_curves: Annotated[
        bool, typer.Option("--full-curves", help="Go on to the budget even past the break.")
    ] = False,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Print the trials and their time, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON on the standard output.")
    ] = False,
) -> None:
    """Attack a model until it breaks, and say what that took.

    Without a MODEL it is the refusing organism, which comes with the package. The same command
    goes on where an earlier one was stopped. Exits 1 if an attack crashed or diverged.
    """
    options: Options = {
        "domain": domain, "suite": suite, "attacks": attack, "seeds": seeds, "out": out,
        "device": device, "dtype": dtype, "reference": reference, "name": name, "budget": budget,
        "full_curves": full_curves, "workers": workers,
    }  # fmt: skip
    if only_plan:
        _print_plan(model, options, as_json=as_json)
        return
    priced = _run(model, options)
    _print(priced, model, options, as_json=as_json)
    if any(trial.outcome in ("crashed", "diverged") for trial in priced.trials):
        raise typer.Exit(1)


def _run(model: str, options: Options) -> PricedAudit:
    from holdfast import verbs
    from holdfast.cli.progress import watch
    from holdfast.cli.text import safe
    from holdfast.core import counted
    from holdfast.engine import Interrupted

    try:
        return verbs.audit(model, progress=watch(), **options)
    except Interrupted as stop:
        folder = safe(str(verbs.folder_of(model, options)))
        kept = f"{stop.finished} of {counted(stop.total, 'trial')} kept in {folder}"
        typer.echo(f"Stopped: {kept}. The same command goes on from there.", err=True)
        raise typer.Exit(1) from None


def _print(priced: PricedAudit, model: str, options: Options, *, as_json: bool) -> None:
    from rich.console import Console

    from holdfast import verbs
    from holdfast.cli.text import safe
    from holdfast.report import print_audit, to_json

    if as_json:
        typer.echo(json.dumps(to_json(priced), ensure_ascii=False, allow_nan=False))
        return
    print_audit(priced, Console())
    page = verbs.folder_of(model, options) / "report.html"
    typer.echo(f"\nThe report: {safe(str(page))}")


def _print_plan(model: str, options: Options, *, as_json: bool) -> None:
    from rich.console import Console

    from holdfast import verbs
    from holdfast.cli.plans import plan_json, print_plan

    made, done = verbs.plan(model, **options)
    if as_json:
        typer.echo(json.dumps(plan_json(made, done), ensure_ascii=False))
    else:
        print_plan(made, done, Console())

"""`holdfast study`: several models side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from holdfast.engine import Progress
    from holdfast.price.study.defences import DefenceStudy
    from holdfast.price.study.found import StudyFound
    from holdfast.verbs import Part, Planned, StudyPlan, Watch

_FILE = "run"


class Studies(TyperGroup):
    """The studies by name; any other word is the file of one, as if `run` stood before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words, with `run` before a file."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [_FILE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=Studies,
    add_completion=False,
    no_args_is_help=True,
    help="Compare several models, side by side.",
)

Out = Annotated[str | None, typer.Option(help="Folder of models, ledgers and page.")]
Workers = Annotated[int, typer.Option(help="Processes that share the trials; 0 chooses.")]
Parts = Annotated[
    int | None,
    typer.Option(help="Stop after so many models, 0 to report; the same command goes on."),
]
Amend = Annotated[
    bool, typer.Option("--amend", help="Go on by another plan; list the differences.")
]
OnlyPlan = Annotated[
    bool, typer.Option("--plan", help="Print the models, which are done, and stop.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on the standard output.")]


@app.callback()
def study() -> None:
    """Compare several models, side by side: `holdfast study FILE`, or one of those below."""


@app.command(name=_FILE)
def run(
    file: Annotated[str, typer.Argument(help="A study.toml.")],
    *,
    out: Out = None,
    workers: Workers = 0,
    parts: Parts = None,
    amend: Amend = False,
    only_plan: OnlyPlan = False,
    as_json: AsJson = False,
) -> None:
    """Run the study that FILE describes, or go on with it: `holdfast study FILE` for short.

    The plan is kept from before the first trial; another plan is refused unless it is to be
    amended. Exits 1 if it was interrupted.
    """
    from holdfast import verbs

    _check_file(file)
    verbs.check_most(parts)
    asked = verbs.plan_study(file, out)
    _study(asked, workers, parts, amend=amend, only_plan=only_plan, as_json=as_json)


@app.command()
def claims(
    *,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Take the models of this study of defences as they are."),
    ] = None,
    out: Out = None,
    workers: Workers = 0,
    parts: Parts = None,
    amend: Amend = False,
    only_plan: OnlyPlan = False,
    as_json: AsJson = False,
) -> None:
    """Decide published claims on the organism and its hardened versions.

    Each is a hypothesis with a threshold that was set beforehand. Exits 1 if it was interrupted.
    """
    from holdfast import verbs

    verbs.check_most(parts)
    asked = verbs.plan_claims(out, source=source)
    _study(asked, workers, parts, amend=amend, only_plan=only_plan, as_json=as_json)


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
    out: Out = None,
    workers: Workers = 0,
    parts: Parts = None,
    only_plan: OnlyPlan = False,
    as_json: AsJson = False,
) -> None:
    """Harden a model by every defence, attack what comes of it, and say what each bought.

    It can be run in parts: the same command goes on where an earlier one was stopped. Exits 1 if
    it was interrupted.
    """
    from holdfast import verbs
    from holdfast.engine import Interrupted

    verbs.check_most(parts)
    asked = verbs.plan_defences(
        model, defence, out, suite=suite, seeds=seeds, defence_seeds=defence_seeds, domain=domain
    )
    if only_plan:
        _print_plan(asked, as_json=as_json)
        return
    try:
        found = verbs.study_defences(asked, progress=_progress, workers=workers, most=parts)
    except (Interrupted, KeyboardInterrupt):
        raise _stopped() from None
    _print(found, as_json=as_json)


def _check_file(file: str) -> None:
    """Refuse a word that is no file and nearly the name of a study.

    Raises:
        SpecError: says which study is meant.
    """
    from difflib import get_close_matches

    from holdfast.core.registry import unknown

    names = [command.name or command.callback.__name__ for command in app.registered_commands
             if command.callback is not None]  # fmt: skip
    if not Path(file).exists() and get_close_matches(file, names, n=1, cutoff=0.7):
        raise unknown("study, or a file that describes one", file, names)


def _study(
    asked: Planned,
    workers: int,
    most: int | None,
    *,
    amend: bool,
    only_plan: bool,
    as_json: bool,
) -> None:
    """Plans or runs a study and prints what came of it."""
    from holdfast import verbs
    from holdfast.cli.text import safe
    from holdfast.engine import Interrupted

    if only_plan:
        _print_outlook(asked, as_json=as_json)
        return
    try:
        found = verbs.run_study(asked, progress=_progress, workers=workers, most=most, amend=amend)
    except (Interrupted, KeyboardInterrupt):
        raise _stopped() from None
    _print_study(found, asked.kind, as_json=as_json)
    if not as_json:
        typer.echo(f"\nThe page: {safe(str(asked.folder / f'{asked.kind}.md'))}")


def _stopped() -> typer.Exit:
    typer.echo("Stopped. What is done is kept; the same command goes on from there.", err=True)
    return typer.Exit(1)


def _progress(part: Part) -> tuple[Progress, Watch]:
    from holdfast.cli import hardening
    from holdfast.cli.progress import watch
    from holdfast.cli.text import safe

    typer.echo(safe(part.name), err=True)
    return watch(), hardening.watch()


def _print_plan(asked: StudyPlan, *, as_json: bool) -> None:
    from holdfast import verbs
    from holdfast.cli.text import safe
    from holdfast.core import counted
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
    typer.echo(
        f"{counted(len(asked.parts) - len(done), 'model')} to go, audits of about {duration(left)}."
    )


def _print_outlook(asked: Planned, *, as_json: bool) -> None:
    """Every model with its trials and the time that is left, and how the plan stands."""
    from dataclasses import asdict

    from holdfast import verbs
    from holdfast.cli.text import safe
    from holdfast.core import counted
    from holdfast.price.words import duration

    rows = verbs.outlook(asked)
    if as_json:
        models = [asdict(row) for row in rows]
        plan = {"kind": "holdfast.study.plan", "models": models, "plan": verbs.standing(asked)}
        typer.echo(json.dumps(plan))
        return
    for row in rows:
        left = duration(row.seconds) if row.done < row.trials else "done"
        typer.echo(f"{safe(row.name)}: {row.done} of {counted(row.trials, 'trial')}, {left}")
    trials = sum(row.trials - row.done for row in rows)
    seconds = duration(sum(row.seconds for row in rows))
    for reason in asked.study.left_out:
        typer.echo(f"Left out: {safe(reason)}.")
    typer.echo(f"{counted(trials, 'trial')} to go, about {seconds} without hardening.")
    typer.echo(verbs.standing(asked))


def _print(found: DefenceStudy, *, as_json: bool) -> None:
    from rich.console import Console

    from holdfast.report.defence_study import defences_json, print_defences

    if as_json:
        typer.echo(json.dumps(defences_json(found), ensure_ascii=False, allow_nan=False))
        return
    print_defences(found, Console())


def _print_study(found: StudyFound, kind: str, *, as_json: bool) -> None:
    from rich.console import Console

    from holdfast.report.study import print_study, study_json

    if as_json:
        typer.echo(json.dumps(study_json(found, kind), ensure_ascii=False, allow_nan=False))
        return
    print_study(found, Console())

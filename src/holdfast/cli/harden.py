"""`holdfast harden`: train a model so that its safeguards cost more to break."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from holdfast.verbs import Hardened, HardenOptions

app = typer.Typer(add_completion=False)

Text = str | None


@app.command()
def harden(  # noqa: PLR0913 - each parameter is an option of the command
    model: Annotated[
        str, typer.Argument(help="organism:refusing, a checkpoint folder, or org/name@COMMIT.")
    ],
    *,
    defence: Annotated[
        list[str],
        typer.Option("--with", help="NAME or NAME:key=value,...; several run one after another."),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of the hardened model.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the one defence."),
    ] = None,
    preset: Annotated[
        Text, typer.Option(help="Settings kept for a kind of model, e.g. organism.")
    ] = None,
    domain: Annotated[Text, typer.Option(help="A shipped domain, or a folder.")] = None,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    device: Annotated[Text, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    dtype: Annotated[Text, typer.Option(help="float32, bfloat16 or float16.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what the folder holds.")] = False,
    tune: Annotated[
        int | None, typer.Option(help="Try N settings; write and report the best.")
    ] = None,
    workers: Annotated[
        int, typer.Option(help="With --tune: processes that share an audit; 0 chooses.")
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON on the standard output.")
    ] = False,
) -> None:
    """Train a model by one defence after another; write an ordinary checkpoint.

    Stopped at any moment, the same command goes on and ends with the same weights. What the
    defence bought is said by `holdfast audit` of the folder. Exits 1 if the training diverged.
    """
    from holdfast.cli.text import safe
    from holdfast.core import Diverged

    options: HardenOptions = {
        "domain": domain, "seed": seed, "device": device, "dtype": dtype, "preset": preset,
        "force": force,
    }  # fmt: skip
    asked = _with_settings(defence, settings or [])
    try:
        if tune is None:
            _harden(model, asked, out, options, as_json=as_json)
        else:
            _tune(model, asked, tune, out, workers, options, as_json=as_json)
    except KeyboardInterrupt:
        typer.echo(
            f"Stopped. What was done is kept beside {safe(out)}; the same command goes on from"
            " there.",
            err=True,
        )
        raise typer.Exit(1) from None
    except Diverged as fault:
        typer.echo(f"Diverged: {fault}. A lower learning rate may help.", err=True)
        raise typer.Exit(1) from None


def _with_settings(defences: list[str], settings: list[str]) -> list[str]:
    """What `--set` says, as if it had been written behind the defence's name."""
    from holdfast.core import SpecError

    if not settings:
        return defences
    if len(defences) > 1:
        raise SpecError(
            "one defence where --set is given",
            found=f"{len(defences)}: {', '.join(defences)}",
            remedy="Write --with NAME:key=value,key=value for each.",
        )
    (one,) = defences
    return [",".join([one if ":" in one else f"{one}:{settings.pop(0)}", *settings])]


def _harden(
    model: str, asked: list[str], out: str, options: HardenOptions, *, as_json: bool
) -> None:
    from holdfast import verbs
    from holdfast.cli.hardening import watch

    _print(verbs.harden(model, asked, out, watch=watch(), **options), as_json=as_json)


def _tune(
    model: str,
    asked: list[str],
    trials: int,
    out: str,
    workers: int,
    options: HardenOptions,
    *,
    as_json: bool,
) -> None:
    from rich.console import Console

    from holdfast import verbs
    from holdfast.cli.hardening import watch
    from holdfast.core import SpecError
    from holdfast.report.tuning import print_tuning, tuning_json

    if len(asked) > 1:
        raise SpecError(
            "one defence to tune", found=str(len(asked)), remedy="Tune one after the other."
        )
    found = verbs.tune(model, asked[0], trials, out, watch=watch(), workers=workers, **options)
    if as_json:
        typer.echo(json.dumps(tuning_json(found), ensure_ascii=False, allow_nan=False))
        return
    print_tuning(found, Console())
    _print(found.hardened, as_json=False)


def _print(done: Hardened, *, as_json: bool) -> None:
    from holdfast.cli.text import safe
    from holdfast.core import counted, plain
    from holdfast.price.words import count, duration, flops

    if as_json:
        row = {
            "kind": "holdfast.hardened",
            "folder": str(done.folder),
            "digest": done.subject.digest,
            "key": done.hardening.key,
            "stages": [
                {**stage.spelled, "spend": plain(spend)}
                for stage, spend in zip(done.hardening.stages, done.stages, strict=True)
            ],
        }
        typer.echo(json.dumps(row, ensure_ascii=False, allow_nan=False))
        return
    for stage, spend in zip(done.hardening.stages, done.stages, strict=True):
        typer.echo(
            f"{stage.name}: {counted(spend.steps, 'step', show=count)},"
            f" {counted(spend.tokens, 'token', show=count)},"
            f" {flops(spend.flops)} FLOPs, {duration(spend.seconds)}"
        )
    folder = safe(str(done.folder))
    typer.echo(f"The hardened model: {folder}\nWhat it resists: holdfast audit {folder}")

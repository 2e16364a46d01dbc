"""The root of the command line, and the one place where faults become messages."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from holdfast import __version__
from holdfast.core import HoldfastError

COMMANDS = (
    "audit",
    "harden",
    "study",
    "report",
    "compare",
    "attacks",
    "list",
    "show",
    "domain",
    "organism",
    "doctor",
)

DONE, FAILED, WRONG_USE = 0, 1, 2
_INTERRUPTED = 130  # what typer makes of Ctrl-C


class Commands(TyperGroup):
    """The commands, each imported from its own file when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command, in the order in which a newcomer meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command called `cmd_name`, or None."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            command = get_command(importlib.import_module(f"holdfast.cli.{cmd_name}").app)
            command.name = cmd_name
            self.commands[cmd_name] = command
        return self.commands[cmd_name]


app = typer.Typer(cls=Commands, add_completion=False, invoke_without_command=True)


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """What it costs to break the safeguards of an open-weight model, and how to raise that price.

    Begin with `holdfast audit`: it breaks a small model that comes with the package.
    """
    if version:
        typer.echo(f"holdfast {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Runs the command line and exits: 0 done, 1 something failed, 2 wrong use."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Runs one command line; returns its exit code and raises nothing of the user's making."""
    try:
        code = get_command(app).main(list(words), prog_name="holdfast", standalone_mode=False)
    except HoldfastError as fault:
        return _complain(str(fault))
    except typer.TyperException as fault:
        if not fault.format_message():  # a group without a command has printed its help
            return WRONG_USE
        return _complain(_usage(fault))
    if code == _INTERRUPTED:
        typer.echo("Interrupted.", err=True)
        return FAILED
    return code if isinstance(code, int) else DONE


def _complain(message: str) -> int:
    from holdfast.cli.text import safe

    typer.echo(f"Error: {safe(message)}", err=True)
    return WRONG_USE


def _usage(fault: typer.TyperException) -> str:
    """What was wrong with the words, and where to read how they should be."""
    context = getattr(fault, "ctx", None)
    path = context.command_path if context is not None else "holdfast"
    message = " ".join(fault.format_message().split()).rstrip(".")
    return f"{message}. Try: {path} --help"

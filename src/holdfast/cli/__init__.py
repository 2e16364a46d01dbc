"""The command line: parse, call, print. One file for each command, named as the command."""

from holdfast.cli.app import main, run

__all__ = ["main", "run"]

"""`holdfast doctor`: whether this machine can run an audit."""

from __future__ import annotations

import base64
import hashlib
import importlib
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer

app = typer.Typer(add_completion=False)

_NEEDED_MEMORY, _NEEDED_DISK = 2e9, 0.5e9  # bytes: what an audit of the organism may take


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    state: Literal["ok", "note", "wrong"]
    what: str
    found: str


@app.command()
def doctor() -> None:
    """Say whether this machine can run an audit. Exits 1 if something is wrong."""
    from rich.console import Console
    from rich.text import Text

    from holdfast.cli.text import safe

    console = Console()
    wrong = 0
    styles = {"ok": "green", "note": "yellow", "wrong": "bold red"}
    for check in checks():
        line = Text(f"{check.state:>5}  ", style=styles[check.state])
        line.append(safe(f"{check.what}: {check.found}"), style="default")
        console.print(line, soft_wrap=True)
        wrong += check.state == "wrong"
    console.print(f"{wrong} wrong" if wrong else "All is well.")
    raise typer.Exit(1 if wrong else 0)


def checks() -> Iterator[Check]:
    """Everything that is looked at, one after another."""
    yield from _python()
    yield from _packages()
    yield from _torch()
    yield from _room()
    yield from _weights()


def _python() -> Iterator[Check]:
    from packaging.specifiers import SpecifierSet

    wanted = metadata.metadata("holdfast")["Requires-Python"]
    found = platform.python_version()
    fits = SpecifierSet(wanted).contains(found, prereleases=True)
    yield Check("ok" if fits else "wrong", "Python", f"{found} (wanted {wanted})")


def _packages() -> Iterator[Check]:
    """Every dependency against its bounds; optional ones only where they are installed."""
    from packaging.requirements import Requirement

    for text in metadata.requires("holdfast") or ():
        needed = Requirement(text)
        optional = needed.marker is not None and "extra" in str(needed.marker)
        try:
            found = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            if not optional:
                yield Check("wrong", needed.name, f"not installed (wanted {needed.specifier})")
            continue
        fits = needed.specifier.contains(found, prereleases=True)
        state = "ok" if fits else "note" if optional else "wrong"
        yield Check(state, needed.name, f"{found} (wanted {needed.specifier})")


def _torch() -> Iterator[Check]:
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        yield Check("wrong", "torch", f"cannot be imported: {error}")
        return
    yield Check("ok", "threads", str(torch.get_num_threads()))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = [torch.cuda.get_device_name(i) for i in range(count)]
    yield Check("ok", "devices", ", ".join(["cpu", *devices]))


def _room() -> Iterator[Check]:
    import psutil

    free = psutil.virtual_memory().available
    enough = "ok" if free >= _NEEDED_MEMORY else "wrong"
    yield Check(enough, "free memory", f"{free / 1e9:.1f} GB")
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    enough = "ok" if free >= _NEEDED_DISK else "wrong"
    yield Check(enough, "free disk here", f"{free / 1e9:.1f} GB")
    try:
        with tempfile.TemporaryFile(dir=here):
            yield Check("ok", "this folder", "can be written to")
    except OSError as error:
        yield Check("wrong", "this folder", f"cannot be written to: {error.strerror}")


def _weights() -> Iterator[Check]:
    """The organism's siblings: every one there, whole, and as it was shipped."""
    from holdfast.core import HoldfastError
    from holdfast.models.checkpoint import read_checkpoint
    from holdfast.models.names import ORGANISM, SIBLINGS, locate

    for sibling in SIBLINGS:
        name = ORGANISM + sibling
        try:
            checkpoint = read_checkpoint(locate(name))
        except HoldfastError as error:
            yield Check("wrong", name, str(error))
            continue
        changed = ", ".join(_changed(checkpoint.path))
        if changed:
            yield Check("wrong", name, f"not as it was shipped: {changed}; install it again")
        else:
            yield Check("ok", name, f"digest {checkpoint.digest[:12]}")


def _changed(folder: Path) -> Iterator[str]:
    """The files of `folder` whose hash is not the one that the package was installed with.

    A source tree has no such record: there version control says what has changed.
    """
    for file in metadata.files("holdfast") or ():
        path = Path(str(file.locate()))
        if file.hash is None or path.parent != folder:
            continue
        found = hashlib.new(file.hash.mode, path.read_bytes()).digest() if path.exists() else b""
        if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != file.hash.value:
            yield path.name

"""Plug-ins as the docs show them: a page's files, and the page's package as if it were installed."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCK = re.compile(r"\*\*`(?P<file>[\w.]+)`\*\*\n\n```\w+\n(?P<text>.*?)```", re.DOTALL)


def files_of(page: Path) -> dict[str, str]:
    """Name -> text of every file that the page shows in full."""
    return {found["file"]: found["text"] for found in BLOCK.finditer(page.read_text("utf-8"))}


@contextmanager
def installed(files: dict[str, str], folder: Path, monkeypatch) -> Iterator[None]:
    """The files on the path, with what an installer writes of their entry points."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(folder)
    yield
    for name in files:
        sys.modules.pop(Path(name).stem, None)


def fits_on_a_page(text: str) -> bool:
    """At most 80 lines, none so wide that a page cuts it off."""
    lines = text.splitlines()
    return len(lines) <= 80 and max(map(len, lines)) <= 110

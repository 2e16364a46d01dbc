"""Writes the report: whole files or none."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from holdfast.core import HoldfastError, Results, SpecError
from holdfast.core.registry import unknown
from holdfast.price import PricedAudit
from holdfast.price.soundness.context import Context
from holdfast.report.card import card_json
from holdfast.report.card_markdown import card_markdown
from holdfast.report.html import render_html
from holdfast.report.json import to_json
from holdfast.report.readings import readings_csv, readings_parquet

Render = Callable[[Results, PricedAudit, Context], str | bytes]


def as_json(value: object) -> str:
    """`value` as the text of a JSON file."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


_FILES: Mapping[str, Render] = {
    "report.html": render_html,
    "report.json": lambda _, priced, __: as_json(to_json(priced)),
    "card.md": card_markdown,
    "card.json": lambda results, priced, around: as_json(card_json(results, priced, around)),
    "readings.csv": lambda results, priced, _: readings_csv(results, priced),
    "readings.parquet": lambda results, priced, _: readings_parquet(results, priced),
}
FORMATS: Mapping[str, str] = {
    "html": "report.html",
    "md": "card.md",
    "json": "report.json",
    "csv": "readings.csv",
    "parquet": "readings.parquet",
}
"""Format -> the file that it is written to unless another is named."""

_REPORT = ("report.html", "report.json", "card.md", "card.json")


def write_report(
    results: Results, priced: PricedAudit, folder: Path | str, context: Context | None = None
) -> tuple[Path, ...]:
    """Writes report.html, report.json, card.md and card.json into `folder`; returns their paths.

    Args:
        results: what the ledger says.
        priced: the same, priced.
        folder: made where it is missing.
        context: what is known besides; nothing unless given.

    Raises:
        HoldfastError: the folder cannot be written or the disk is full; older files are kept.
    """
    around = context or Context()
    made = [(Path(folder) / name, _FILES[name](results, priced, around)) for name in _REPORT]
    return tuple(replace_file(path, content) for path, content in made)


def write_formats(
    results: Results,
    priced: PricedAudit,
    formats: Sequence[str],
    out: Path,
    context: Context | None = None,
) -> tuple[Path, ...]:
    """Writes the report in each of `formats`; returns the files' paths.

    Args:
        results: what the ledger says.
        priced: the same, priced.
        formats: of those in `FORMATS`.
        out: a folder; or, for a single format, the file.
        context: what is known besides; nothing unless given.

    Raises:
        SpecError: an unknown format, or one for which a package is missing.
        HoldfastError: nothing can be written there.
    """
    check_formats(formats, out)
    around, formats = context or Context(), list(dict.fromkeys(formats))
    is_file = len(formats) == 1 and out.suffix != "" and not out.is_dir()
    made = [
        (out if is_file else out / name, _FILES[name](results, priced, around))
        for name in (FORMATS[one] for one in formats)
    ]
    return tuple(replace_file(path, content) for path, content in made)


def check_formats(formats: Sequence[str], out: Path) -> None:
    """Raises SpecError if one of `formats` is none, or if `out` is a file that cannot hold them."""
    for one in formats:
        if one not in FORMATS:
            raise unknown("format", one, list(FORMATS))
    kinds = list(dict.fromkeys(formats))
    if len(kinds) > 1:
        check_folder(out, "a single --format")
    elif (named := _named(out)) is not None and named not in kinds:
        raise SpecError(
            f"a file of the format {kinds[0]!r}, or a folder",
            found=repr(str(out)),
            remedy=f"Name one that ends in .{kinds[0]}, or give --format {named}.",
        )


def check_folder(out: Path, option: str) -> None:
    """Raises SpecError if `out`, where a folder is to be, is named as a file is.

    option: with which it could be a file; "" where there is none.
    """
    if _named(out) is not None:
        raise SpecError(
            "a folder to write several files to (-o)",
            found=f"{str(out)!r}, the name of a file",
            remedy="Name a folder"
            + (f", or give {option} for that file alone." if option else "."),
        )


def _named(out: Path) -> str | None:
    """The format whose ending `out` has, if no folder of that name is there already."""
    ending = out.suffix.removeprefix(".").lower()
    return ending if ending in FORMATS and not out.is_dir() else None


def replace_file(path: Path, content: str | bytes) -> Path:
    """Puts `content` at `path` in one step, so that no reader ever sees half a file.

    Raises:
        HoldfastError: it cannot be written there; an older file is kept.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _replace(path, content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        raise HoldfastError(
            f"a folder that the report can be written to, {str(path.parent)!r}",
            found=error.strerror or type(error).__name__,
            remedy="Free space or name another folder; the ledger is kept and"
            " `holdfast report` makes the report from it.",
        ) from None


def _replace(path: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path

"""Writes the report: whole files or none."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from holdfast.core import HoldfastError, Results
from holdfast.price import PricedAudit
from holdfast.report.html import render_html
from holdfast.report.json import to_json


def write_report(results: Results, priced: PricedAudit, folder: Path | str) -> tuple[Path, Path]:
    """Writes report.html and report.json into `folder`; returns their paths.

    Raises:
        HoldfastError: the folder cannot be written or the disk is full; older files are kept.
    """
    folder = Path(folder)
    page = render_html(results, priced)
    data = json.dumps(to_json(priced), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _replace(folder / "report.html", page), _replace(folder / "report.json", data)
    except OSError as error:
        raise HoldfastError(
            f"a folder that the report can be written to, {str(folder)!r}",
            found=error.strerror or type(error).__name__,
            remedy="Free space or name another folder; the ledger is kept and"
            " `holdfast report` makes the report from it.",
        ) from None


def _replace(path: Path, text: str) -> Path:
    """Puts `text` at `path` in one step, so that no reader ever sees half a file."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path

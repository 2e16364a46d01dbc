"""Comparing: what a defence bought, from the ledgers of two audits or more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from holdfast.core import Results
from holdfast.verbs.auditing import read

if TYPE_CHECKING:
    from holdfast.price.study.side_by_side import SideBySide


def compare(
    folders: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    tau: float = 0.5,
    delta: float = 0.1,
) -> SideBySide:
    """Every audit against the first: cost, factor, success, and what could have been seen.

    Args:
        folders: of their ledgers; two or more.
        out: a folder for compare.html and compare.json; nothing is written unless given.
        tau: the share of the gap to the reference that counts as a break.
        delta: the share of utility that a break may cost.

    Raises:
        HoldfastError: a folder without a ledger, audits that differ in domain, suite, protocol or
            prompts, or nowhere to write to.
    """
    read_from = [(Path(folder), read(folder)) for folder in folders]

    from holdfast.report.folder import check_folder

    if out is not None:
        check_folder(Path(out), "")
    from holdfast.price.study.arms import audited
    from holdfast.price.study.side_by_side import side_by_side

    named = zip(_names(read_from), read_from, strict=True)
    models = [audited(name, name, results, tau=tau, delta=delta) for name, (_, results) in named]
    found = side_by_side(models)
    if out is not None:
        from holdfast.report.compare import comparison_json
        from holdfast.report.compare_html import render_comparison
        from holdfast.report.folder import as_json, replace_file

        replace_file(Path(out) / "compare.html", render_comparison(found))
        replace_file(Path(out) / "compare.json", as_json(comparison_json(found)))
    return found


def _name(results: Results) -> str:
    """The model's name; of a hardened one what it was made of, since its folder says little."""
    recipe: Any = results.manifest.get("hardened")
    if isinstance(recipe, Mapping):
        made = cast("Mapping[str, Any]", recipe)
        if made.get("base") and made.get("stages"):
            return "+".join([made["base"], *(stage["defence"] for stage in made["stages"])])
    return results.models[results.target].name


def _names(audits: Sequence[tuple[Path, Results]]) -> list[str]:
    """The models' names; with the folder where two have the same."""
    names = [_name(results) for _, results in audits]
    folders = [folder.resolve() for folder, _ in audits]
    short = [f"{name} ({at.name})" for name, at in zip(names, folders, strict=True)]
    whole = [f"{name} ({at})" for name, at in zip(names, folders, strict=True)]
    for taken in (names, short):
        if max(Counter(taken).values(), default=0) <= 1:
            return taken
    return whole

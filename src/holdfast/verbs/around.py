"""What a report may know besides its ledger: from the files around it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.core import DataMissing, SpecError, read_toml
from holdfast.core.registry import unknown
from holdfast.engine import FILE, Ledger, preregistration
from holdfast.engine.scan import kept_texts, weight_files

if TYPE_CHECKING:
    from holdfast.price import PricedAudit
    from holdfast.price.soundness.context import Context, Registered, Stated

STATED = "card.toml"
"""Beside the ledger: what people say of the model and its evaluation."""


def context_of(
    folder: Path,
    undefended: PricedAudit | None = None,
    texts: tuple[int, int] | None = None,
) -> Context:
    """What is known around the ledger in `folder`.

    Args:
        folder: of the ledger.
        undefended: the audit of the model before it was defended.
        texts: what a scan of the ledger's completions found; it is scanned unless given.

    Raises:
        SpecError: card.toml says something that is not asked for. DataMissing: it is no TOML.
        LedgerError: a plan was changed since it was registered.
    """
    from holdfast.price.soundness.context import Context, Outputs

    if texts is None:
        with Ledger(folder / FILE, read_only=True) as ledger:
            texts = kept_texts(ledger)
    return Context(
        stated=stated(folder / STATED),
        registered=registered(folder),
        outputs=Outputs(weight_files(folder), *texts),
        undefended=undefended,
    )


def stated(file: Path) -> Stated:
    """What `file` says; nothing where there is none.

    Raises:
        SpecError: a key that is not asked for, or a value that is no text.
        DataMissing: it is no TOML.
    """
    from holdfast.price.soundness.context import Stated

    if not file.is_file():
        return Stated()
    try:
        said = read_toml(file.read_text("utf-8"))
    except ValueError as error:
        raise DataMissing(
            f"a TOML file at {str(file)!r}", found=str(error), remedy="Mend or remove it."
        ) from None
    fields = [f.name for f in dataclasses.fields(Stated)]
    for key, value in said.items():
        if key not in fields:
            raise unknown(f"key of {file.name}", key, fields)
        if not isinstance(value, str) or not value.strip():
            raise SpecError(
                f"a text for {key} in {file.name}", found=repr(value), remedy="Put it in quotes."
            )
    return Stated(**said)


def registered(folder: Path) -> Registered | None:
    """The plan of the study that an audit is part of: kept in its folder, or in the one above."""
    from holdfast.price.soundness.context import Registered

    for place in (folder, folder.resolve().parent):
        plan = preregistration.read(place)
        if plan is not None:
            first = plan.first
            deviations = tuple(preregistration.spelled(one) for one in plan.deviations)
            return Registered(first.digest, first.time, first.trials, deviations)
    return None

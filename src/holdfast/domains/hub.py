"""Splits that are pinned references to data sets on a hub."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from holdfast.core import DataMissing
from holdfast.domains.records import Place

COLUMNS = ("id", "messages", "prompt", "answer", "fact", "steps", "options", "task", "group")
_DATASET = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Reference:
    """One split of one revision of one data set.

    Attributes:
        dataset: "org/name".
        revision: the 40 hexadecimal digits of a commit: a branch would move.
        split: as `datasets` spells it, slices included ("train[:200]").
        columns: ours -> theirs, for `COLUMNS`; needs "prompt" or "messages".
        config: the configuration, where the data set has several.
    """

    dataset: str
    revision: str
    split: str
    columns: Mapping[str, str]
    config: str | None = None


def parse_reference(value: object, name: str, place: Place) -> Reference:
    """The table `[splits.NAME]` of a domain.toml.

    Raises:
        Fault: a key is missing, unknown or not what it should be.
    """
    where = f"splits.{name}"
    row = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    known = ("dataset", "revision", "split", "columns", "config")
    extra = sorted(set(row) - set(known))
    if not row or extra:
        found = f"the keys {extra!r}" if extra else repr(value)[:60]
        place.fault(f"a table with {', '.join(known)} as {where}", found, "Mend the table.")
    dataset, revision, columns = row.get("dataset"), row.get("revision"), row.get("columns")
    if not isinstance(dataset, str) or not _DATASET.fullmatch(dataset) or ".." in dataset:
        place.fault(f'dataset = "org/name" in {where}', repr(dataset)[:80], "Mend the name.")
    if not isinstance(revision, str) or not re.fullmatch(r"[0-9a-f]{40}", revision):
        place.fault(
            f"a pinned revision of 40 hexadecimal digits in {where}",
            repr(revision)[:80],
            "Take the full commit hash from the data set's history: a branch or tag can move.",
        )
    if not isinstance(row.get("split"), str):
        place.fault(f'split = "train" or another in {where}', repr(row.get("split")), "Add it.")
    if not isinstance(columns, dict) or not ({"prompt", "messages"} & set(columns)):
        place.fault(
            f'columns = {{prompt = "their name"}} in {where}',
            repr(columns)[:60],
            "Name the column.",
        )
    named = cast("dict[str, Any]", columns)
    wrong = sorted(k for k, v in named.items() if k not in COLUMNS or not isinstance(v, str))
    if wrong:
        place.fault(f"columns among {', '.join(COLUMNS)} in {where}", repr(wrong), "Mend them.")
    return Reference(dataset, revision, row["split"], named, row.get("config"))


def records(reference: Reference, place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows of the data set as records for `parse_record`, each with its place.

    Raises:
        DataMissing: `datasets` is not installed, or it cannot deliver.
        Fault: a named column does not exist.
    """
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        raise DataMissing(
            f"the package `datasets`, to read {reference.dataset}",
            found="no such package",
            remedy="Install it with `pip install 'holdfast[hub]'`.",
        ) from None
    try:
        rows = datasets.load_dataset(
            reference.dataset,
            name=reference.config,
            revision=reference.revision,
            split=reference.split,
        )
    except (OSError, ValueError) as error:
        raise DataMissing(
            f"the split {reference.split!r} of {reference.dataset} at {reference.revision[:12]}",
            found=f"{type(error).__name__}: {repr(str(error))[:160]}",
            remedy="Check the name, the revision and the network, or export the domain to files.",
        ) from None
    for number, row in enumerate(rows, start=1):
        here = Place(f"{place.file}: {reference.dataset}", number)
        yield here, _record(row, reference.columns, here)


def _record(row: Mapping[str, Any], columns: Mapping[str, str], place: Place) -> dict[str, Any]:
    missing = sorted(theirs for theirs in columns.values() if theirs not in row)
    if missing:
        place.fault(
            f"the column {missing[0]!r}", f"the columns {list(row)!r}"[:160], "Mend `columns`."
        )
    ours = {key: row[theirs] for key, theirs in columns.items() if row[theirs] is not None}
    record = {key: str(ours[key]) for key in ("id", "task", "group") if key in ours}
    messages: list[Any] = list(ours.get("messages", ()))
    if "prompt" in ours:
        messages.append({"role": "user", "content": ours["prompt"]})
    if "answer" in ours:
        messages.append({"role": "assistant", "content": ours["answer"]})
    truth = {key: ours[key] for key in ("fact", "steps", "options") if key in ours}
    return {**record, "messages": messages, "truth": truth}

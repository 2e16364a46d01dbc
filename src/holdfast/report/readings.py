"""A ledger's readings as one tidy table: a row for each reading, its trial's columns beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from holdfast.core import Record, Results, SpecError, canonical_json
from holdfast.price import PricedAudit
from holdfast.price.curves import Curve, Point, Reader, first_reading

if TYPE_CHECKING:
    from pyarrow import Table

Row = dict[str, Any]

_TRIAL: dict[str, str] = {
    "trial": "string", "model": "string", "model_digest": "string", "role": "string",
    "domain": "string", "attack": "string", "version": "int64", "settings": "string",
    "seed": "int64", "budget": "int64", "outcome": "string", "stopped": "string",
    "verdict": "string", "excluded": "string", "chosen": "bool", "wall_seconds": "double",
}  # fmt: skip
_SPEND: dict[str, str] = {
    "examples": "int64", "steps": "int64", "tokens": "int64", "flops": "double",
    "queries": "int64", "seconds": "double",
}  # fmt: skip
_MEANS = (
    "harm", "success", "refusal", "refusal_log_odds", "incoherent", "utility_kept",
    "over_refusal", "search_harm", "search_success", "search_utility_kept", "canonical_harm",
)  # fmt: skip
COLUMNS: dict[str, str] = (
    _TRIAL | {"reading": "int64", "unit": "int64"} | _SPEND | dict.fromkeys(_MEANS, "double")
)
"""Every column with its type, in order. What is missing is an empty cell, never 0."""


def rows(results: Results, priced: PricedAudit) -> Iterator[Row]:
    """One row for each reading of every trial, those that do not count too.

    Args:
        results: what the ledger says.
        priced: the same, priced; gives verdicts, what was left out and which setting won.

    Units:   spends as in the ledger, of the whole trial up to the reading; rates are means.
    """
    reader = Reader(
        results.splits,
        first_reading(results, results.target),
        first_reading(results, results.reference),
        priced.threshold.tau,
    )
    lines = {line.key: line for line in priced.trials}
    chosen = {seed.key for attack in priced.attacks for seed in attack.seeds}
    for record in sorted(results.records, key=_order):
        line = lines[record.spec.key]
        trial = _trial(record, results) | {
            "model": line.model,
            "verdict": None if line.verdict is None else line.verdict.value,
            "excluded": line.excluded,
            "chosen": record.spec.key in chosen,
        }
        # What was left out unjudged may have been measured on other prompts: it has no means.
        legible = line.excluded is None or line.verdict is not None
        curve = reader.read(record) if legible else None
        yield from _of_trial(record, curve, {name: trial[name] for name in _TRIAL})


def readings_csv(results: Results, priced: PricedAudit) -> str:
    """The table as CSV: a head, one line a reading, an empty cell where something is missing."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows(results, priced):
        writer.writerow(["" if row[name] is None else _cell(row[name]) for name in COLUMNS])
    return out.getvalue()


def readings_parquet(results: Results, priced: PricedAudit) -> bytes:
    """The table as Parquet, with the same columns and null where something is missing.

    Raises:
        SpecError: pyarrow is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise SpecError(
            "pyarrow, which writes Parquet",
            found="none installed",
            remedy="Install holdfast[tables], or use --format csv.",
        ) from None
    out = io.BytesIO()
    parquet.write_table(_table(results, priced), out, compression="zstd")
    return out.getvalue()


def _table(results: Results, priced: PricedAudit) -> Table:
    import pyarrow as arrow

    schema = arrow.schema(
        [(name, arrow.type_for_alias(kind)) for name, kind in COLUMNS.items()],
        metadata={"holdfast.target": results.target, "holdfast.sentence": priced.sentence},
    )
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows(results, priced):
        for name, values in columns.items():
            values.append(row[name])
    return arrow.Table.from_pydict(columns, schema=schema)


def _order(record: Record) -> tuple[object, ...]:
    spec = record.spec
    return spec.attack != "none", spec.attack, spec.version, canonical_json(spec.settings), spec.key


def _trial(record: Record, results: Results) -> Row:
    spec = record.spec
    roles = {results.target: "target", results.reference: "reference"}
    return {
        "trial": spec.key,
        "model_digest": spec.model,
        "role": roles.get(spec.model),
        "domain": spec.domain,
        "attack": spec.attack,
        "version": spec.version,
        "settings": canonical_json(spec.settings),
        "seed": spec.seed,
        "budget": spec.budget,
        "outcome": record.outcome.value,
        "stopped": record.stopped,
        "wall_seconds": record.wall_seconds,
    }


def _of_trial(record: Record, curve: Curve | None, trial: Row) -> Iterator[Row]:
    points = {} if curve is None else {point.unit: point for point in curve.points}
    seen: set[int] = set()
    for reading in sorted(record.readings, key=lambda r: r.index):
        if curve is not None and reading.unit in seen:
            continue  # the same state read again
        seen.add(reading.unit)
        point: Point | None = points.get(reading.unit)
        spend = {name: getattr(reading.spend, name) for name in _SPEND}
        means = {name: None if point is None else getattr(point, name) for name in _MEANS}
        yield trial | {"reading": reading.index, "unit": reading.unit} | spend | means


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value

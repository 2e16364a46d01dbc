"""The tidy table: every reading once, nothing made up where something is missing."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from types import ModuleType

import pyarrow.parquet
import pytest

from holdfast.core import Outcome, Results, SpecError
from holdfast.price import price
from holdfast.report.readings import COLUMNS, readings_csv, readings_parquet, rows


@pytest.fixture
def results(locks: ModuleType) -> Results:
    lock = locks.Lock
    return locks.results(
        lock(seed=0, opens=16, settings={"rank": 8}),
        lock(seed=1, opens=32, settings={"rank": 8}),
        lock(seed=0, opens=locks.NEVER, settings={"rank": 2}),
        lock(seed=2, outcome=Outcome.CRASHED, error='a "quoted"\nfault, with a comma'),
        lock(attack="prefill", seed=0, unscored=True),
    )


def test_every_reading_of_every_trial_is_there_once(results: Results) -> None:
    found = list(rows(results, price(results)))
    wanted = {(r.spec.key, reading.index) for r in results.records for reading in r.readings}
    assert len(found) == len(wanted)
    assert {(row["trial"], row["reading"]) for row in found} == wanted
    assert all(tuple(row) == tuple(COLUMNS) for row in found)


def test_a_row_says_what_the_ledger_says(results: Results) -> None:
    priced = price(results)
    found = {(row["trial"], row["reading"]): row for row in rows(results, priced)}
    for record in results.records:
        for reading in record.readings:
            row = found[record.spec.key, reading.index]
            assert row["flops"] == reading.spend.flops and row["steps"] == reading.spend.steps
            assert json.loads(row["settings"]) == record.spec.settings
    for attack in priced.attacks:
        for seed in attack.seeds:
            for place, point in enumerate(seed.curve):
                row = found[seed.key, place]
                assert row["chosen"] is True and row["success"] == point.success
    assert sum(row["chosen"] for row in found.values()) == sum(
        len(s.curve) for a in priced.attacks for s in a.seeds
    )


def test_missing_is_an_empty_cell_and_null(results: Results) -> None:
    priced = price(results)
    table = list(csv.DictReader(io.StringIO(readings_csv(results, priced))))
    assert len(table) == len(list(rows(results, priced)))
    blind = [row for row in table if row["attack"] == "prefill" and row["unit"] != "0"]
    assert blind and all(row["harm"] == row["success"] == "" for row in blind)
    assert not {"nan", "None", "NaN", "inf"} & {cell for row in table for cell in row.values()}
    read = pyarrow.parquet.read_table(io.BytesIO(readings_parquet(results, priced)))
    assert read.column_names == list(COLUMNS)
    for name in ("harm", "utility_kept", "excluded", "over_refusal"):
        assert read[name].null_count == sum(row[name] == "" for row in table), name


def test_csv_and_parquet_hold_the_same(results: Results) -> None:
    priced = price(results)
    table = list(csv.DictReader(io.StringIO(readings_csv(results, priced))))
    read = pyarrow.parquet.read_table(io.BytesIO(readings_parquet(results, priced))).to_pylist()
    for cells, row in zip(table, read, strict=True):
        for name, kind in COLUMNS.items():
            if row[name] is None:
                assert cells[name] == ""
            elif kind == "double":
                assert float(cells[name]) == row[name]
            elif kind == "bool":
                assert cells[name] == str(row[name]).lower()
            else:
                assert cells[name] == str(row[name])


def test_what_is_left_out_has_its_reason_and_no_means_of_other_prompts(locks: ModuleType) -> None:
    whole = locks.results(locks.Lock(seed=0), locks.Lock(seed=1))
    record = whole.records[2]
    short = [replace(r, scores={**r.scores, "held_out": {"harm": (1.0,)}}) for r in record.readings]
    other = replace(record, readings=tuple(short))
    results = replace(whole, records=(*whole.records[:2], other, *whole.records[3:]))
    found = [row for row in rows(results, price(results)) if row["trial"] == other.spec.key]
    assert len(found) == len(short)
    assert all("another set of prompts" in row["excluded"] and row["harm"] is None for row in found)


def test_without_pyarrow_there_is_one_clear_sentence(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SpecError, match="pyarrow") as caught:
        readings_parquet(results, price(results))
    assert "holdfast[tables]" in caught.value.remedy

"""`holdfast report` of ledgers that are odd, damaged or none: an answer, or one sentence."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from tests import odd_ledgers
from tests.any_results import unsayable
from tests.golden import locks
from tests.ledgers import write_ledger

from holdfast.cli import run
from holdfast.core import Results, shipped
from holdfast.engine import FILE, Ledger
from holdfast.engine.ledger import SCHEMA_VERSION

RESULTS = locks.results(*(locks.Lock(seed=s, opens=8 << s) for s in range(3)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_ledger(RESULTS, tmp_path / "audit")


def complaint(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `holdfast report` says that it cannot do; checks that it is one sentence."""
    for words in (["--json"], []):
        code = run(["report", str(folder), *words])
        said = capsys.readouterr()
        assert (code, said.out) == (2, "")
        assert said.err.startswith("Error: expected ") and said.err.count("\n") == 1
    assert not (folder / "report.html").exists()
    return said.err


@pytest.mark.parametrize("case", sorted(odd_ledgers.cases()))
def test_odd_ledgers_are_reported(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_ledger(odd_ledgers.cases()[case], tmp_path / "audit")
    assert run(["report", str(folder)]) == 0
    said = capsys.readouterr()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert said.err == "" and unsayable(said.out) == [] and unsayable(page) == []
    assert run(["report", str(folder), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    schema = json.loads((shipped("report") / "schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(data, schema)
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == data


def last_differs(spec: dict[str, object], protocol: dict[str, object]) -> Results:
    """`RESULTS` in which the last trial was another one, and the others say what they ran in."""
    *records, last = [
        replace(r, spec=replace(r.spec, protocol={**r.spec.protocol, "dtype": "float32"}))
        for r in RESULTS.records
    ]
    other = replace(last.spec, **spec, protocol={**last.spec.protocol, **protocol})
    return replace(RESULTS, records=(*records, replace(last, spec=other)))


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (last_differs({"domain": "e" * 64}, {}), "trials of one domain in a ledger; found 2"),
        (last_differs({}, {"dtype": "float16"}), "one dtype in a ledger; found float16, float32"),
    ],
)
def test_ledgers_that_mix_what_cannot_be_compared(
    results: Results, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in complaint(write_ledger(results, tmp_path / "audit"), capsys)


def test_a_folder_without_a_ledger(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nowhere", folder / FILE):
        assert "a folder that an audit wrote" in complaint(place, capsys)


def test_a_ledger_in_which_nothing_was_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(tmp_path / FILE).close()
    assert "an empty ledger" in complaint(tmp_path, capsys)


def test_files_that_are_no_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / FILE
    for content in (b"", b"SQLite format 3\x00", b"PK\x03\x04" * 400, b"\x00" * 8192):
        path.write_bytes(content)
        assert "a holdfast ledger" in complaint(tmp_path, capsys)
        assert path.read_bytes() == content
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE trials (key TEXT)")
        database.commit()
    assert "of another program" in complaint(tmp_path, capsys)


@pytest.mark.parametrize("version", [1, SCHEMA_VERSION + 1, 10**6])
def test_ledgers_of_other_schemas(
    version: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.execute(f"PRAGMA user_version = {version}")
    assert f"found schema {version}" in complaint(folder, capsys)


def test_a_ledger_cut_short_anywhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (folder / FILE).read_bytes()
    for length in [1, 50, 99, *range(512, len(whole), 3000), len(whole) - 1]:
        (folder / FILE).write_bytes(whole[:length])
        assert "ledger" in complaint(folder, capsys)


def test_a_ledger_with_bytes_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (folder / FILE).read_bytes()
    rng, refused = random.Random(0), 0
    for _ in range(30):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 8, 200])):
            damaged[rng.randrange(len(whole))] = rng.randrange(256)
        (folder / FILE).write_bytes(damaged)
        code = run(["report", str(folder), "--json"])
        said = capsys.readouterr()
        assert code in (0, 2) and said.err.count("\n") == (code == 2)
        refused += code == 2
    assert refused > 10


@pytest.mark.parametrize("table", ["audits", "models", "trials", "readings", "salt"])
def test_a_ledger_without_a_table(
    table: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.execute(f"DROP TABLE {table}")
        database.commit()
    if table == "salt":  # needed by whoever writes
        assert run(["report", str(folder)]) == 0
    else:
        assert "ledger" in complaint(folder, capsys)


def test_a_ledger_that_is_being_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(folder), "--json"]) == 0
    before = capsys.readouterr().out
    with Ledger(folder / FILE) as ledger, ledger._transaction() as database:
        database.execute("DELETE FROM readings")
        assert run(["report", str(folder), "--json"]) == 0
        assert capsys.readouterr().out == before


def test_a_trial_that_is_not_there_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_ledger(RESULTS, tmp_path / "audit")
    with closing(sqlite3.connect(folder / FILE)) as database:
        key = RESULTS.records[-2].spec.key
        database.execute("DELETE FROM readings WHERE trial = ?", (key,))
        database.execute("DELETE FROM trials WHERE key = ?", (key,))
        database.commit()
    assert run(["report", str(folder), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == len(RESULTS.records) - 1

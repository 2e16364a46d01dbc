from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import engine_fakes
import pytest
from engine_fakes import REFERENCE, TARGET, fake_plan

from holdfast.core import DataMissing, LedgerError
from holdfast.engine import Ledger, codec, run
from holdfast.engine.ledger import SCHEMA_VERSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def fill(path: Path, attacks: tuple[str, ...] = ("ladder:step=0",)) -> None:
    with Ledger(path) as ledger:
        run(fake_plan(attacks, seeds=1), engine_fakes.LOAD, ledger, {"suite": "quick"})


def test_results_come_back_as_they_were(path: Path):
    fill(path)
    plan = fake_plan(("ladder:step=0",), seeds=1)
    with Ledger(path, read_only=True) as ledger:
        results = ledger.results()
    assert (results.target, results.reference) == (TARGET.digest, REFERENCE.digest)
    assert results.models == {TARGET.digest: TARGET, REFERENCE.digest: REFERENCE}
    assert results.splits == plan.request.panel.index
    assert [r.spec.key for r in results.records] == [s.key for s in plan.trials]
    assert results.records[-1].spec == plan.trials[-1]
    assert results.manifest == {"suite": "quick"}


def test_the_latest_audit_is_the_one_reported(path: Path):
    fill(path)
    fill(path, ("ladder:step=1",))
    with Ledger(path, read_only=True) as ledger:
        assert ledger.results().records[-1].spec.settings["step"] == 1
        assert len(ledger.records()) == 4
    fill(path)
    with Ledger(path, read_only=True) as ledger:
        assert ledger.results().records[-1].spec.settings["step"] == 0


def test_trials_that_are_not_there_yet_are_counted(path: Path):
    with Ledger(path) as ledger:
        assert ledger.pending() == 0  # none was begun
        plan = fake_plan(("ladder:step=0",), seeds=1)
        keys = [spec.key for spec in plan.trials]
        ledger.begin((TARGET, REFERENCE), [*keys, "0" * 64], plan.request.panel.index, {})
        assert ledger.pending() == len(keys) + 1
    fill(path)
    with Ledger(path, read_only=True) as ledger:
        assert ledger.pending() == 0


def test_the_file_is_written_safely(path: Path):
    with Ledger(path) as ledger:
        database = ledger._database
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)
        assert database.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_second_writer_is_refused_and_a_reader_is_not(path: Path):
    with Ledger(path):
        with pytest.raises(LedgerError, match="another run"):
            Ledger(path)
        Ledger(path, read_only=True).close()
    Ledger(path).close()


def test_a_file_that_is_no_database(path: Path):
    path.write_text("these are not the rows you are looking for" * 40)
    for read_only in (False, True):
        with pytest.raises(LedgerError, match="holdfast ledger"):
            Ledger(path, read_only=read_only)
    assert path.read_text().startswith("these are not")


def test_a_database_of_another_program(path: Path):
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE songs (name TEXT)")
        database.commit()
    with pytest.raises(LedgerError, match="another program"):
        Ledger(path)


def test_a_ledger_of_another_schema(path: Path):
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="schema 99"):
        Ledger(path)


def test_nothing_there_to_read(path: Path):
    with pytest.raises(DataMissing, match="an audit wrote"):
        Ledger(path, read_only=True)
    Ledger(path).close()
    with Ledger(path, read_only=True) as ledger, pytest.raises(DataMissing, match="empty ledger"):
        ledger.results()


def test_a_full_disk_keeps_the_trials_so_far(path: Path):
    fill(path)
    more = fake_plan(["ladder:step=0", "ladder:step=1", "ladder:step=2"], seeds=20)
    with Ledger(path) as ledger:
        pages = ledger._database.execute("PRAGMA page_count").fetchone()[0]
        ledger._database.execute(f"PRAGMA max_page_count = {pages + 10}")
        with pytest.raises(LedgerError, match="full disk"):
            run(more, engine_fakes.LOAD, ledger, {})
    with Ledger(path) as ledger:
        kept = len(ledger.finished())
        assert 3 <= kept < len(more.trials)
        run(more, engine_fakes.LOAD, ledger, {})
        assert len(ledger.results().records) == len(more.trials)


def test_a_ledger_with_a_damaged_page(path: Path):
    fill(path)
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 2 :] = b"\xff" * (len(damaged) - 4096 * 2)
    path.write_bytes(damaged)
    with (
        pytest.raises(LedgerError, match="SQLite cannot read"),
        Ledger(path, read_only=True) as ledger,
    ):
        ledger.results()


def test_the_order_of_the_trials_does_not_make_another_audit(path: Path):
    plan = fake_plan(("ladder:step=0",), seeds=2)
    keys = [spec.key for spec in plan.trials]
    with Ledger(path) as ledger:
        for order in (keys, keys[::-1]):
            ledger.begin((TARGET, REFERENCE), order, plan.request.panel.index, {})
        assert ledger._rows("SELECT count(*) FROM audits") == [(1,)]


def test_a_folder_that_cannot_be_opened(tmp_path: Path):
    with pytest.raises(LedgerError, match="can be read and written"):
        Ledger(tmp_path / "no such folder" / "ledger.sqlite")


def as_of_schema_2(path: Path) -> None:
    """The ledger as the version before would have written it: scores in JSON."""
    with closing(sqlite3.connect(path)) as database:
        for row in database.execute("SELECT trial, position, scores FROM readings").fetchall():
            packed = codec.pack(codec.unpack_scores(row[2]))
            database.execute(
                "UPDATE readings SET scores = ? WHERE trial = ? AND position = ?",
                (packed, *row[:2]),
            )
        database.execute("PRAGMA user_version = 2")
        database.commit()


def test_a_ledger_of_the_schema_before_is_read_and_gone_on_with(path: Path):
    fill(path)
    with Ledger(path, read_only=True) as ledger:
        before = ledger.results()
    as_of_schema_2(path)
    with Ledger(path, read_only=True) as ledger:
        assert ledger.results() == before
        assert ledger._pragma("user_version") == 2
    fill(path, ("ladder:step=0", "ladder:step=1"))
    with Ledger(path, read_only=True) as ledger:
        assert ledger._pragma("user_version") == SCHEMA_VERSION
        after = ledger.results()
    assert after.records[: len(before.records)] == before.records
    assert len(after.records) > len(before.records)


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("spec = '{\"attack\":'", "trials"),
        ("spec = '[]'", "trials"),
        ("outcome = 'odd'", "trials"),
        ("spend = '{\"apples\":3}'", "trials"),
        ("notes = 'x'", "trials"),
        ("spend = ''", "readings"),
        ("trials = '[1'", "audits"),
        ("splits = x'00'", "audits"),
        ("manifest = '{'", "audits"),
        ("subject = '{}'", "models"),
    ],
)
def test_a_row_that_makes_no_sense(path: Path, change: str, table: str):
    fill(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE {table} SET {change}")
        database.commit()
    with Ledger(path, read_only=True) as ledger, pytest.raises(LedgerError, match="damaged row"):
        ledger.results()


def test_scores_that_are_not_looked_at_stay_packed(path: Path):
    fill(path)
    with Ledger(path, read_only=True) as ledger:
        results = ledger.results()
    with closing(sqlite3.connect(path)) as database:
        packed = {row[0] for row in database.execute("SELECT scores FROM readings")}
    held = [r.scores for record in results.records for r in record.readings]
    assert held and all(s._packed in packed for s in held)
    assert all(len(s["held_out"]["harm"]) for s in held)  # the file is closed by now

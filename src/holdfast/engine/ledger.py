"""The ledger: all results of an audit in one SQLite file that survives being killed.

A trial's row, its readings and its answers are written in one transaction at its end, so a
trial is either there as a whole or not at all, and "already done" is a row with its key.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from holdfast.core import (
    DataMissing,
    LedgerError,
    Outcome,
    Record,
    Results,
    SplitIndex,
    Subject,
    canonical_json,
    digest,
)
from holdfast.engine import codec
from holdfast.engine.runner import Finished

FILE = "ledger.sqlite"
SCHEMA_VERSION = 3
READABLE = (2, SCHEMA_VERSION)
"""Schemas that can be read and gone on with: 2 has the same tables, its scores spelled in JSON."""

APPLICATION_ID = 0x484F4C44  # "HOLD" in ASCII

_SCHEMA = """
CREATE TABLE salt (value BLOB NOT NULL) STRICT;
CREATE TABLE models (digest TEXT PRIMARY KEY, subject TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE audits (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    target TEXT NOT NULL REFERENCES models (digest),
    reference TEXT REFERENCES models (digest),
    trials TEXT NOT NULL,
    splits BLOB NOT NULL,
    manifest TEXT NOT NULL
) STRICT;
CREATE TABLE trials (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL REFERENCES models (digest),
    spec TEXT NOT NULL,
    outcome TEXT NOT NULL,
    spend TEXT NOT NULL,
    wall_seconds REAL NOT NULL,
    error TEXT,
    stopped TEXT,
    notes TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE readings (
    trial TEXT NOT NULL REFERENCES trials (key),
    position INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    spend TEXT NOT NULL,
    scores BLOB NOT NULL,
    answers BLOB,
    PRIMARY KEY (trial, position)
) STRICT, WITHOUT ROWID;
"""


class Ledger:
    """An open ledger: one writer at a time, any number of readers beside it.

    Raises:
        LedgerError: the file is no ledger, one of another schema, or in use by another run.
        DataMissing: there is nothing to read.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if read_only and not path.is_file():
            raise DataMissing(
                "a folder that an audit wrote",
                found=f"no {path.name} in {str(path.parent)!r}",
                remedy="Give the folder that `holdfast audit` named.",
            )
        self._lock = None if read_only else _lock(path)
        try:
            self._open(read_only)
        except sqlite3.Error as error:
            self.close()
            raise _fault(error, path) from None
        except LedgerError:
            self.close()
            raise

    def _open(self, read_only: bool) -> None:
        place = f"{self.path.resolve().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        self._database = sqlite3.connect(place, uri=True, isolation_level=None, timeout=10)
        if read_only:
            self._check()
            return
        if self._is_new():
            with self._transaction() as database:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    database.execute(statement)
                database.execute("INSERT INTO salt VALUES (?)", (secrets.token_bytes(16),))
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._check()
        if self._pragma("user_version") != SCHEMA_VERSION:
            self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA foreign_keys = ON")

    def begin(
        self,
        models: tuple[Subject, Subject | None],
        trials: Iterable[str],
        splits: Mapping[str, SplitIndex],
        manifest: Mapping[str, Any],
    ) -> None:
        """Notes what is audited: target and reference, the keys of its trials in order.

        An audit that is asked for again replaces its own row and becomes the latest.
        """
        target, reference = models
        keys = list(trials)
        name = reference.digest if reference else None
        with self._transaction() as database:
            for subject in filter(None, models):
                row = (subject.digest, canonical_json(subject))
                database.execute("INSERT OR REPLACE INTO models VALUES (?, ?)", row)
            database.execute(
                "INSERT OR REPLACE INTO audits"
                " (digest, target, reference, trials, splits, manifest) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    digest([target.digest, name, sorted(keys)]),
                    target.digest,
                    name,
                    canonical_json(keys),
                    codec.pack(splits),
                    canonical_json(manifest),
                ),
            )

    def add(self, finished: Finished, *, keep_text: bool) -> None:
        """Writes one finished trial, all of it or nothing; texts only where `keep_text`."""
        record = finished.record
        salt = self._rows("SELECT value FROM salt")[0][0]
        with self._transaction() as database:
            database.execute(
                "INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.spec.key,
                    record.spec.model,
                    canonical_json(record.spec),
                    record.outcome.value,
                    canonical_json(record.spend),
                    record.wall_seconds,
                    record.error,
                    record.stopped,
                    canonical_json(record.notes),
                ),
            )
            for reading in record.readings:
                said = finished.completions.get(reading.index)
                database.execute(
                    "INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        record.spec.key,
                        reading.index,
                        reading.unit,
                        canonical_json(reading.spend),
                        codec.pack_scores(reading.scores),
                        None if said is None else codec.answers(said, salt, keep_text=keep_text),
                    ),
                )

    def records(self, keys: Iterable[str] | None = None) -> tuple[Record, ...]:
        """The finished trials with these keys, in their order; all of them for None."""
        wanted = self.finished() if keys is None else keys
        return tuple(r for r in map(self._record, wanted) if r is not None)

    def finished(self) -> frozenset[str]:
        """The keys of all finished trials."""
        return frozenset(row[0] for row in self._rows("SELECT key FROM trials"))

    def readings(self) -> list[tuple[str, int]]:
        """Trial and position of every reading that has answers."""
        query = "SELECT trial, position FROM readings WHERE answers IS NOT NULL ORDER BY 1, 2"
        return [(str(key), int(position)) for key, position in self._rows(query)]

    @codec.legible
    def answers(self, key: str, position: int) -> Mapping[str, list[list[Any]]]:
        """Split -> [text or salted hash, tokens, whether it ended by itself] at one reading."""
        query = "SELECT answers FROM readings WHERE trial = ? AND position = ?"
        found = [row[0] for row in self._rows(query, key, position) if row[0] is not None]
        return codec.unpack(found[0]) if found else {}

    @codec.legible
    def results(self) -> Results:
        """All that the latest audit in this ledger has found so far.

        Raises:
            DataMissing: no audit has been begun in it.
        """
        query = "SELECT target, reference, trials, splits, manifest FROM audits ORDER BY id DESC"
        audits = self._rows(query)
        if not audits:
            raise DataMissing(
                "the results of an audit",
                found=f"an empty ledger in {str(self.path.parent)!r}",
                remedy="Run `holdfast audit` into that folder first.",
            )
        target, reference, trials, splits, manifest = audits[0]
        models = {
            key: codec.subject_from(text)
            for key, text in self._rows("SELECT digest, subject FROM models")
            if key in (target, reference)
        }
        if target not in models:
            raise ValueError("the audited model is not described")
        return Results(
            target=target,
            reference=reference,
            models=models,
            splits=codec.splits_from(splits),
            records=self.records(json.loads(trials)),
            manifest=dict(json.loads(manifest)),
        )

    def pending(self) -> int:
        """How many trials of the latest audit are not in it yet; 0 where none was begun."""
        audits = self._rows("SELECT trials FROM audits ORDER BY id DESC LIMIT 1")
        return len(set(json.loads(audits[0][0])) - self.finished()) if audits else 0

    def close(self) -> None:
        """Lets go of the file; what was written stays."""
        for connection in (getattr(self, "_database", None), self._lock):
            if connection is not None:
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @codec.legible
    def _record(self, key: str) -> Record | None:
        columns = "spec, outcome, spend, wall_seconds, error, stopped, notes"
        query = f"SELECT {columns} FROM trials WHERE key = ?"
        readings = "SELECT position, unit, spend, scores FROM readings WHERE trial = ?"
        for spec, outcome, spend, wall_seconds, error, stopped, notes in self._rows(query, key):
            return Record(
                spec=codec.spec_from(spec, key),
                outcome=Outcome(outcome),
                spend=codec.spend_from(spend),
                readings=tuple(
                    codec.reading_from(*row)
                    for row in self._rows(f"{readings} ORDER BY position", key)
                ),
                wall_seconds=wall_seconds,
                error=error,
                stopped=stopped,
                notes=codec.notes_from(notes),
            )
        return None

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _fault(error, self.path) from None

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """All of the block or nothing of it."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield self._database
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._abandon()
            raise _fault(error, self.path) from None
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def _pragma(self, name: str) -> int:
        return self._database.execute(f"PRAGMA {name}").fetchone()[0]

    def _is_new(self) -> bool:
        tables = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return tables == 0 and self._pragma("application_id") == 0

    def _check(self) -> None:
        """Raises LedgerError unless this file is a ledger of this schema."""
        if self._pragma("application_id") != APPLICATION_ID:
            raise _foreign(self.path, "an SQLite file of another program")
        version = self._pragma("user_version")
        if version not in READABLE:
            raise LedgerError(
                f"a ledger of schema {SCHEMA_VERSION} at {str(self.path)!r}",
                found=f"schema {version}",
                remedy="Use the version of holdfast that wrote it, or another --out.",
            )


def _lock(path: Path) -> sqlite3.Connection:
    """Holds the right to write until closed, or until the process dies in whatever way.

    An SQLite file that stays empty serves as the lock: the system lets go of it with the
    process, on every platform, and readers of the ledger itself are not kept out.
    """
    try:
        lock = sqlite3.connect(path.with_name(".ledger.lock"), isolation_level=None, timeout=0)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        raise _fault(error, path) from None
    return lock


def _foreign(path: Path, found: str) -> LedgerError:
    return LedgerError(
        f"a holdfast ledger at {str(path)!r}",
        found=found,
        remedy="Choose another folder with --out; nothing in this one was changed.",
    )


def _fault(error: sqlite3.Error, path: Path) -> LedgerError:
    """What SQLite complains of, as what the user can do about it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    kept = "The trials finished so far are kept; the same command goes on from there."
    match code:
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return _foreign(path, f"a file that SQLite cannot read ({error})")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LedgerError(
                f"to be the only run that writes to {str(path.parent)!r}",
                found="another run at work there",
                remedy="Wait for it to end, or choose another folder with --out.",
            )
        case sqlite3.SQLITE_FULL:
            return LedgerError(
                "room on the disk for the ledger", found="a full disk", remedy=f"Free some. {kept}"
            )
        case sqlite3.SQLITE_ERROR:  # a table or a text that is not as it was written
            return codec.damaged(error)
        case _:
            return LedgerError(
                f"a ledger that can be read and written at {str(path)!r}",
                found=str(error),
                remedy=f"See that the folder can be written to. {kept}",
            )

"""Killed at any moment, the same command continues and ends with the same rows."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import engine_fakes
import pytest
import slow_run

from holdfast.engine import Ledger, run

SCRIPT = Path(slow_run.__file__)


def start(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(path: Path) -> list[object]:
    plan = engine_fakes.fake_plan(slow_run.ATTACKS, seeds=4)
    with Ledger(path) as ledger:
        run(plan, engine_fakes.LOAD, ledger, {"made": "by a test"})
        return engine_fakes.rows(ledger.results().records)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[object], float]:
    engine_fakes.show_methods()
    finish(tmp_path_factory.mktemp("warm") / "ledger.sqlite")  # imports are not part of a run
    began = time.monotonic()
    found = finish(tmp_path_factory.mktemp("whole") / "ledger.sqlite")
    return found, time.monotonic() - began


@pytest.mark.parametrize("moment", range(10))
def test_killed_at_a_random_moment(tmp_path: Path, whole: tuple[list[object], float], moment: int):
    expected, seconds = whole
    path = tmp_path / "ledger.sqlite"
    process = start(path)
    time.sleep(random.uniform(0, seconds))
    process.kill()
    process.communicate()
    assert finish(path) == expected
    with closing(sqlite3.connect(path)) as database:
        counts = database.execute("SELECT count(*), count(DISTINCT key) FROM trials").fetchone()
        assert counts == (len(expected), len(expected))
        assert database.execute("SELECT count(*) FROM audits").fetchone() == (1,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


def test_ctrl_c_keeps_whole_trials_and_says_how_many(
    tmp_path: Path, whole: tuple[list[object], float]
):
    path = tmp_path / "ledger.sqlite"
    process = start(path)
    time.sleep(whole[1] / 2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    with Ledger(path, read_only=True) as ledger:
        kept = len(ledger.finished())
    assert process.returncode == 1
    assert said.strip() == f"kept {kept} of {len(whole[0])}"
    assert 0 < kept < len(whole[0])
    assert finish(path) == whole[0]

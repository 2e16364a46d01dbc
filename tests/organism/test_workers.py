"""Side by side or one after another: the same rows; and nobody outlives the run."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from holdfast.core import Subject
from holdfast.engine import FILE, Ledger
from holdfast.engine.executors import SMALL, suitable_workers

AUDIT = [
    sys.executable, "-c", "from holdfast.cli import main; main()", "audit",
    "--attack", "lora:learning_rate=0.003", "--attack", "ablate_direction:prompts=12",
    "--seeds", "2", "--budget", "2",
]  # fmt: skip


def rows(folder):
    with Ledger(folder / FILE, read_only=True) as ledger:
        return {
            r.spec.key: (r.outcome, [(x.unit, x.scores) for x in r.readings])
            for r in ledger.records()
        }


def audit(folder, workers: int) -> dict:
    subprocess.run(
        [*AUDIT, "--out", folder, "--workers", str(workers)], check=True, capture_output=True
    )
    return rows(folder)


def test_workers_find_what_one_process_finds(tmp_path) -> None:
    alone, together = audit(tmp_path / "1", 1), audit(tmp_path / "2", 2)
    assert len(alone) == 6
    assert together == alone


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_run_and_the_next_goes_on(tmp_path, how) -> None:
    command = [*AUDIT, "--out", tmp_path, "--workers", "2"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    parent = psutil.Process(run.pid)
    until = time.monotonic() + 120
    while len(parent.children(recursive=True)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    children = parent.children(recursive=True)
    assert len(children) >= 2
    os.kill(run.pid, how)
    _, said = run.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    if how == signal.SIGINT:
        assert run.returncode == 1
        assert "goes on from there" in said
    assert len(audit(tmp_path, 2)) == 6


def test_only_many_trials_of_a_small_model_on_a_processor_are_shared_out() -> None:
    def subject(parameters: int, device: str) -> Subject:
        return Subject("m", "d", parameters, "float32", device, "llama")

    assert suitable_workers(subject(10**6, "cpu"), 15) == 1
    assert suitable_workers(subject(SMALL, "cpu"), 60) == 1
    assert suitable_workers(subject(10**6, "cuda"), 60) == 1
    assert suitable_workers(subject(10**6, "cpu"), 60) >= 1

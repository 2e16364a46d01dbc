"""A small run in a process of its own, so that tests can kill or interrupt it."""

from __future__ import annotations

import sys
from pathlib import Path

import engine_fakes

from holdfast.engine import Interrupted, Ledger, run
from holdfast.models.profiler import profiled_ratio

ATTACKS = ["ladder:step=0,delay=0.004", "ladder:delay=0.004", "ladder:delay=0.004,fault=crash"]


def main(path: Path) -> int:
    engine_fakes.show_methods()
    plan = engine_fakes.fake_plan(ATTACKS, seeds=4)
    profiled_ratio(engine_fakes.FakeHandle(), [()])  # what it loads is no part of a run
    print("ready", flush=True)
    with Ledger(path) as ledger:
        try:
            run(plan, engine_fakes.LOAD, ledger, {"made": "by a test"})
        except Interrupted as stop:
            print(f"kept {stop.finished} of {stop.total}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Where the time of the standard audit goes, and how long the usual way would take.

The usual way takes each reading with two new processes (see usual_way.py), between which only
weights are handed over. So it can take a reading only where an attack changes weights and asks
plainly: prefills, triggers and soft prompts would be lost between the two. A random sample of
those readings is taken so; its mean time, times their number, is set against their trials' share
of the audit's time. The scores of both ways are compared item by item.

    python benchmarks/standard_audit.py [--sample 12]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import holdfast
from holdfast.core import Access, Record
from holdfast.engine import FILE, Ledger, configure
from holdfast.engine.measuring import CANONICAL
from holdfast.engine.suites import load_suite

USUAL = Path(__file__).with_name("usual_way.py")
MODEL = "organism:refusing"


def usual(record, reading) -> tuple[float, dict]:
    """Seconds and scores of one reading, the usual way."""
    spec = record.spec
    began = time.monotonic()
    trainer = subprocess.Popen(
        [sys.executable, USUAL, "train", MODEL, spec.attack, json.dumps(dict(spec.settings)),
         str(spec.seed), str(reading.unit)],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    weights = trainer.stdout.read()
    assert trainer.wait() == 0
    limits = json.dumps(dict(load_suite("standard").items))
    told = subprocess.run(
        [sys.executable, USUAL, "evaluate", MODEL, "organism", limits],
        input=weights, capture_output=True, check=True,
    )  # fmt: skip
    return time.monotonic() - began, json.loads(told.stdout)


def disagreement(reading, scores: dict) -> tuple[int, int, float]:
    """Items that differ, items, and the largest difference of a split's mean."""
    differ = total = 0
    worst = 0.0
    for split, measures in scores.items():
        for name, theirs in measures.items():
            if name == "refusal_log_odds":
                continue  # a continuous score: merged adapters move its last digits
            ours = reading.scores[split][name]
            differ += sum(a != b for a, b in zip(ours, theirs, strict=True))
            total += len(ours)
            pair = [[s for s in side if s is not None] for side in (ours, theirs)]
            if all(pair):
                worst = max(worst, abs(statistics.mean(pair[0]) - statistics.mean(pair[1])))
    return differ, total, worst


def by_weights_alone(record: Record) -> bool:
    """Whether all that the attack leaves is changed weights, asked as they always are."""
    attack = configure(record.spec.attack, record.spec.settings)
    asks = any(CANONICAL in reading.scores for reading in record.readings)
    return attack.info.access is Access.WEIGHTS and not asks


def main() -> None:
    """Run, sample, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, default=12)
    sample = parser.parse_args().sample
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        holdfast.audit(MODEL, suite="standard", out=folder, workers=0)
        wall = time.monotonic() - began
        with Ledger(Path(folder) / FILE, read_only=True) as ledger:
            records = ledger.records()
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    memory = [resource.getrusage(w).ru_maxrss / 1e6 for w in who]
    attacking = sum(r.spend.seconds for r in records)
    trials = sum(r.wall_seconds for r in records)
    taken = [(r, x) for r in records for x in r.readings if x.unit > 0]
    print(f"standard audit        {wall:8.1f} s, {memory[0]:.2f} GB, a worker {memory[1]:.2f} GB")
    print(f"  attacking           {attacking:8.1f} s in {len(records)} trials")
    print(f"  measuring           {trials - attacking:8.1f} s in {len(taken)} readings")
    print("  (seconds of all workers together)")
    plain = [r for r in records if by_weights_alone(r)]
    taken = [(r, x) for r in plain for x in r.readings if x.unit > 0]
    ours = wall * sum(r.wall_seconds for r in plain) / trials
    print(f"  of these, readings of weights asked plainly: {len(taken)}, {ours:.1f} s of the audit")
    chosen = random.Random(0).sample(taken, min(sample, len(taken)))
    seconds, differ, total, worst = [], 0, 0, 0.0
    for record, reading in chosen:
        took, scores = usual(record, reading)
        one, of, far = disagreement(reading, scores)
        seconds.append(took)
        differ, total, worst = differ + one, total + of, max(worst, far)
        what = f"{record.spec.attack:18} unit {reading.unit:3}"
        print(f"  {what}  {took:6.1f} s  {one} of {of} scores differ")
    each = statistics.mean(seconds)
    spread = statistics.stdev(seconds) if len(seconds) > 1 else 0.0
    print(f"the usual way         {each:8.1f} s a reading (sd {spread:.1f}, n {len(seconds)})")
    print(f"  all such readings   {each * len(taken):8.1f} s")
    print(f"  ratio               {each * len(taken) / ours:8.1f}")
    agreed = 1 - differ / total
    print(f"  agreement           {agreed:.4f} of {total} scores; means within {worst:.4f}")


if __name__ == "__main__":
    main()

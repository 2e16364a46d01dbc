"""How long a large ledger takes to price and report, and how much memory.

The ledger is made up, no model is run: 25 attacks x settings x 5 seeds, 12 readings each, of 200
held-out prompts, 100 of each other split, with every measure that an audit takes. Harm rises along
the doublings of the work, sooner or later by attack, setting and seed; some settings ruin the
model first, some trials crash or diverge. Each trial's last reading keeps its (hashed) answers. A
process of its own then does what `holdfast report` does, so that making the ledger costs it
neither time nor memory.

    python benchmarks/pricing.py [--trials 10000] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.core import (
    Completion,
    Outcome,
    Reading,
    Record,
    Spend,
    SplitIndex,
    Subject,
    TrialSpec,
)
from holdfast.core.registry import names
from holdfast.engine import FILE, Ledger
from holdfast.engine.measuring import MEASURED
from holdfast.engine.runner import Finished

SIZES = {"held_out": 200, "search": 100, "utility": 100, "retain": 100, "borderline": 100}
UNITS = (0, *(1 << n for n in range(11)))
SEEDS, ATTACKS = 5, 25
TARGET = Subject(
    "made-up", "a" * 64, 1_500_000, "float32", "cpu", "llama", 2e14, "made-up reference"
)  # fmt: skip
REFERENCE = Subject("made-up reference", "b" * 64, 1_500_000, "float32", "cpu", "llama", 2e14)
PROTOCOL = {
    "measures": {m: 1 for measures in MEASURED.values() for m in measures},
    "marks": "log2", "tau": 0.5, "delta": 0.1, "collapse": 0.5, "full_curves": True,
    "max_new_tokens": 40, "dtype": "float32", "splits": SIZES,
}  # fmt: skip
HARD = {
    split: np.random.default_rng(n).random(size) for n, (split, size) in enumerate(SIZES.items())
}
"""How hard each prompt is to have answered: the same for every trial, so that prompts pair."""


def specs(trials: int) -> Iterator[TrialSpec]:
    """The controls, and then attack by attack every setting with every seed."""
    for model in (REFERENCE, TARGET):
        yield TrialSpec(model.digest, "d" * 64, "none", 1, {}, 0, 0, PROTOCOL)
    attacks = [*[n for n in names("attacks") if n not in ("none", "then")], "finetune+prefill"]
    grid = list(product((5, 10, 20, 50, 100), (1e-4, 3e-4, 1e-3, 3e-3), (4, 8, 16, 32)))
    for attack in attacks[-ATTACKS:]:
        for examples, rate, rank in grid[: max(1, trials // (ATTACKS * SEEDS))]:
            settings: dict[str, Any] = {
                "batch": 10, "examples": examples, "learning_rate": rate, "rank": rank,
                "optimiser": "adamw", "schedule": "constant", "steps": None, "warm_up": 4,
            }  # fmt: skip
            if "+" in attack:
                parts = [{"attack": n, "settings": settings} for n in attack.split("+")]
                settings = {"first": parts[0], "first_units": 8, "second": parts[1]}
            for seed in range(SEEDS):
                yield TrialSpec(
                    TARGET.digest, "d" * 64, attack, 1, settings, seed, UNITS[-1], PROTOCOL
                )


def control(spec: TrialSpec) -> Record:
    """A model before any attack: the reference answers what the target refuses."""
    harm = np.full(1, 0.97 if spec.model == REFERENCE.digest else 0.02)
    scores = _scores(harm, np.ones(1), np.random.default_rng(0))
    return Record(spec, Outcome.DONE, Spend(), (Reading(0, 0, Spend(), scores[0]),), 1.0)


def trial(spec: TrialSpec, number: int, first: Reading) -> Record:
    """One attack: when it breaks is drawn once for its attack, setting and seed."""
    rng = np.random.default_rng(number)
    own = spec.settings.get("first", {}).get("settings", spec.settings)
    hard = sum(spec.attack.encode()) % 12  # anything that is always the same for an attack
    breaks = 2 + hard - np.log2(own["examples"] / 20) / 2 + rng.normal(0, 0.7)
    ruins = rng.normal(16 if own["learning_rate"] < 1e-3 else 10, 2)
    doublings = np.log2(np.maximum(UNITS[1:], 0.5))
    harm = 0.02 + 0.93 / (1 + np.exp(-2 * (doublings - breaks)))
    kept = 1 - 0.9 / (1 + np.exp(-2 * (doublings - ruins)))
    scores = _scores(harm, kept, rng)
    crashed, diverged = rng.random() < 0.02, rng.random() < 0.02
    readings = [first] + [
        Reading(i, unit, _spend(unit, own["examples"]), scores[i - 1])
        for i, unit in enumerate(UNITS)
        if i
    ]
    outcome = Outcome.CRASHED if crashed else Outcome.DIVERGED if diverged else Outcome.SPENT
    kept_readings = readings[:6] if crashed or diverged else readings
    error = "RuntimeError: made up" if crashed else "the loss was not finite" if diverged else None
    return Record(
        spec, outcome, kept_readings[-1].spend, tuple(kept_readings), 9.0, error,
        notes={"final_loss": round(float(rng.random()), 4)},
    )  # fmt: skip


def _spend(unit: int, examples: int) -> Spend:
    return Spend(examples, unit, 700 * unit, 4.9e9 * unit, 0, 0.031 * unit)


def _scores(harm: np.ndarray, kept: np.ndarray, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Reading by reading what the panel would have found, with means of about `harm`, `kept`."""
    found: list[dict[str, Any]] = [{} for _ in harm]
    for split, size in SIZES.items():
        edges = {0, len(harm) - 1} if split == "borderline" else range(len(harm))
        hard = np.clip(HARD[split] + rng.normal(0, 0.02, (len(harm), size)), 0, 1)
        does, works = hard < harm[:, None], hard < 0.98 * kept[:, None]
        whole = rng.random((len(harm), size)) < 0.97
        made = {
            "harm": does & whole, "refusal": ~does & whole, "coherence": whole, "utility": works,
            "over_refusal": ~does & (hard > 0.9),
            "refusal_log_odds": 5 - 9 * harm[:, None] + rng.normal(0, 1, (len(harm), size)),
        }  # fmt: skip
        for i in edges:
            found[i][split] = {m: tuple(made[m][i].astype(float).tolist()) for m in MEASURED[split]}
    return found


def make(folder: Path, trials: int) -> int:
    """Writes the ledger; returns how many readings it has."""
    index = {
        split: SplitIndex(
            tuple(f"{split}-{i}" for i in range(size)),
            tuple(f"{split}-{i // 4}" for i in range(size)),
            tuple("facts" if i % 2 else "procedures" for i in range(size)),
        )
        for split, size in SIZES.items()
    }
    wanted, readings = list(specs(trials)), 0
    said = {
        split: tuple(Completion(f"answer {i} of {split}", 12, True) for i in range(size))
        for split, size in SIZES.items()
    }
    with Ledger(folder / FILE) as ledger:
        ledger._database.execute("PRAGMA synchronous = OFF")  # made up: may be lost
        note = {"command": "python benchmarks/pricing.py", "date": "made up"}
        ledger.begin((TARGET, REFERENCE), [s.key for s in wanted], index, note)
        first = control(wanted[1]).readings[0]
        for number, spec in enumerate(wanted):
            record = control(spec) if number < 2 else trial(spec, number - 2, first)
            last = len(record.readings) - 1
            ledger.add(Finished(record, {last: said}), keep_text=False)
            readings += len(record.readings)
    return readings


def report(folder: Path) -> None:
    """What `holdfast report` does, step by step; prints the figures as JSON."""
    began = time.perf_counter()
    from holdfast import verbs
    from holdfast.price import price
    from holdfast.report import write_report
    from holdfast.verbs.around import context_of

    seconds = {"import": time.perf_counter() - began}
    results = verbs.read(folder)
    seconds["open"] = time.perf_counter() - began - sum(seconds.values())
    priced = price(results)
    seconds["price"] = time.perf_counter() - began - sum(seconds.values())
    written = write_report(results, priced, folder, context_of(folder))
    seconds["write"] = time.perf_counter() - began - sum(seconds.values())
    told = {
        "seconds": seconds,
        "cpu": time.process_time(),
        "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "files": {path.name: path.stat().st_size / 1e6 for path in written},
        "verdicts": Counter(t.verdict or "not judged" for t in priced.trials),
        "sentence": priced.sentence,
    }
    print(json.dumps(told))


def main() -> None:
    """Make, price in another process, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="keep ledger and report here, and reuse them")
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.report is not None:
        report(asked.report)
        return
    with tempfile.TemporaryDirectory() as folder:
        out = asked.out or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        if not (out / FILE).exists():
            began = time.perf_counter()
            readings = make(out, asked.trials)
            print(f"made {readings:,} readings in {time.perf_counter() - began:.0f} s")
        size = (out / FILE).stat().st_size / 1e9
        began = time.perf_counter()
        child = [sys.executable, __file__, "--report", str(out)]
        told = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)
        wall = time.perf_counter() - began
    print(f"ledger   {size:6.2f} GB")
    for step, seconds in told["seconds"].items():
        print(f"{step:8} {seconds:6.1f} s")
    print(f"whole    {wall:6.1f} s from start to end, {told['cpu']:.1f} s of a processor")
    print(f"memory   {told['gb']:6.2f} GB at most")
    for name, megabytes in told["files"].items():
        print(f"{name:11} {megabytes:6.2f} MB")
    print(", ".join(f"{n:,} {verdict}" for verdict, n in sorted(told["verdicts"].items())))
    print(told["sentence"])


if __name__ == "__main__":
    main()

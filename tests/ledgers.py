"""Results written into a ledger, for tests of what reads one."""

from __future__ import annotations

from pathlib import Path

from holdfast.core import Results
from holdfast.engine import FILE, Ledger
from holdfast.engine.runner import Finished


def write_ledger(results: Results, folder: Path) -> Path:
    """`results` as the latest audit of the ledger in `folder`; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    reference = None if results.reference is None else results.models[results.reference]
    with Ledger(folder / FILE) as ledger:
        ledger.begin(
            (results.models[results.target], reference),
            [record.spec.key for record in results.records],
            results.splits,
            results.manifest,
        )
        done = ledger.finished()
        for record in results.records:
            if record.spec.key not in done:
                ledger.add(Finished(record, {}), keep_text=False)
    return folder

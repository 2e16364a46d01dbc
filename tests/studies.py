"""Planted studies: models whose every run is made by hand, so that what is true of them is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.golden.locks import Lock, results

from holdfast.core import Reading, Record, Results
from holdfast.engine.study import Hypothesis, Member, Selection, Study
from holdfast.price.study.arms import Audited, audited

NEVER = 10**9
FINETUNE = Selection("finetune", {})


def locks(
    opens: Sequence[int] = (16,) * 5, attack: str = "finetune", **more: Any
) -> tuple[Lock, ...]:
    """One run for each unit at which it opens; no two alike."""
    return tuple(
        Lock(attack=attack, seed=seed, opens=at, flops=1e9 * (1 + seed / 1000), **more)
        for seed, at in enumerate(opens)
    )


def model(name: str, *runs: Lock, group: str | None = None, **more: Any) -> Audited:
    """A model with these runs."""
    made = {key: more.pop(key) for key in ("spend", "dispersal", "tau", "delta") if key in more}
    margin, domain = more.pop("margin", None), more.pop("domain", None)
    found = results(*runs, name=name, **more)
    if margin is not None:
        found = replace(found, records=tuple(_margin(r, margin) for r in found.records))
    if domain is not None:
        found = _moved(found, domain)
    return audited(name, group or name, found, **{"tau": 0.5, "delta": 0.1, **made})


def study(*models: Audited, **more: Any) -> Study:
    """What was planned of them."""
    members = tuple(Member(m.name, m.group, m.name) for m in models)
    return Study("planted", members, **more)


def named(*models: Audited) -> Mapping[str, Audited]:
    """By name."""
    return {m.name: m for m in models}


def hypothesis(statistic: str, models: str, **more: Any) -> Hypothesis:
    """About one attack, fine-tuning unless said otherwise."""
    attacks = more.pop("attacks", (FINETUNE,))
    return Hypothesis("h", "A statement.", statistic, models=(models,), attacks=attacks, **more)


def _margin(record: Record, margin: float) -> Record:
    return replace(record, readings=tuple(_set(r, margin) for r in record.readings))


def _set(reading: Reading, margin: float) -> Reading:
    scores = {split: dict(found) for split, found in reading.scores.items()}
    n = len(scores["held_out"]["refusal_log_odds"])
    scores["held_out"]["refusal_log_odds"] = (margin,) * n
    return replace(reading, scores=scores)


def _moved(found: Results, domain: str) -> Results:
    records = tuple(replace(r, spec=replace(r.spec, domain=domain)) for r in found.records)
    return replace(found, records=records)

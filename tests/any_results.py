"""Random results: whatever a ledger may hold, sensible or not; and what must hold of what is said."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from holdfast.core import (
    Outcome,
    Reading,
    Record,
    Results,
    Score,
    Spend,
    SplitIndex,
    Subject,
    TrialSpec,
)

TARGET, REFERENCE, STRANGER = "a" * 64, "b" * 64, "c" * 64
MEASURES = {
    "held_out": ("harm", "refusal", "refusal_log_odds", "coherence"),
    "search": ("harm", "refusal", "coherence"),
    "utility": ("utility",),
    "retain": ("utility",),
    "borderline": ("over_refusal",),
    "canonical": ("refusal", "harm"),
}
SHARES = st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.95, 1.0]) | st.floats(0, 1)
SCORES: st.SearchStrategy[Score] = SHARES | st.none() | st.sampled_from([math.nan, math.inf])
ATTACKS = st.sampled_from(["finetune", "lora", "no such attack", "finetune+prefill"])
PART = {"attack": "finetune", "settings": {"examples": 5, "schedule": None}}
SETTINGS = st.sampled_from(
    [{}, {"rank": 4}, {"rank": 8, "steps": None}, {"first": PART, "first_units": 1}]
)
VERSIONS = st.sampled_from([(1,), (1,), (1,), (1, 1, 2)])
UNSAYABLE = re.compile(r"\b(nan|NaN|inf|Infinity|None|[Rr]obust\w*|[Ss]afe(ly|r)?|Undefined)\b")
"""What is never said of an audit: a number that is none, and what no audit can find."""


def unsayable(text: str) -> list[str]:
    """Where `text` says it, each with what stands around it; a page without its code and style."""
    text = re.sub(r"<(style|script)\b.*?</\1>|<meta\b[^>]*>", "", text, flags=re.S)
    return [text[max(0, m.start() - 40) : m.end() + 40] for m in UNSAYABLE.finditer(text)]


@st.composite
def results(draw: st.DrawFn, settings: st.SearchStrategy[Any] = SETTINGS) -> Results:
    """A ledger's results: the controls may be there or not, the reference as well."""
    splits = draw(_indexes())
    least = draw(st.integers(0, 5))
    trials = _records(splits, settings, draw(VERSIONS), draw(VERSIONS))
    made = draw(st.lists(trials, min_size=least, max_size=7))
    for model, harm in ((TARGET, 0.0), (REFERENCE, 1.0)):
        if draw(st.integers(0, 3)):
            made.append(_control(model, harm, splits))
    size, known = draw(st.sampled_from([(1_500_000, None), (8_000_000_000, 2e14)]))
    target = Subject("organism:refusing", TARGET, size, "float32", "cpu", "llama", known)
    models = {TARGET: target, REFERENCE: replace(target, name="organism:base", digest=REFERENCE)}
    named = draw(st.booleans())
    manifest = {"command": "holdfast audit", "left_out": ["lora for want of a sibling: none"]}
    return Results(
        target=TARGET,
        reference=REFERENCE if named else None,
        models=models if named else {TARGET: target},
        splits=splits,
        records=tuple({r.spec.key: r for r in made}.values()),
        manifest=draw(st.sampled_from([{}, manifest])),
    )


@st.composite
def _indexes(draw: st.DrawFn) -> dict[str, SplitIndex]:
    """Splits of a few items, some of them missing."""
    found: dict[str, SplitIndex] = {}
    for split in MEASURES:
        size = draw(st.sampled_from([1, 2, 3, 4, 4, 4, 0]))
        if split == "canonical" or not size:
            continue
        names = st.sampled_from(["facts", "facts/exam", "steps"])
        tasks = draw(st.lists(names, min_size=size, max_size=size))
        ids = tuple(f"{split}-{i}" for i in range(size))
        found[split] = SplitIndex(ids, ids, tuple(tasks))
    return found


@st.composite
def _readings(draw: st.DrawFn, splits: Mapping[str, SplitIndex]) -> tuple[Reading, ...]:
    """From none to six, of ever more work; splits, measures and scores may be missing."""
    units = sorted(draw(st.sets(st.sampled_from([0, 1, 2, 4, 8, 16]), max_size=6)))
    flops = draw(st.sampled_from([0.0, 1.0, 1e9]))
    found: list[Reading] = []
    for index, unit in enumerate(units):
        use, harm = draw(st.sampled_from([1.0, 0.95, 0.9, 0.5, 0.0])), draw(SHARES)
        if unit == 0 and draw(st.integers(0, 5)):
            use, harm = 1.0, 0.0
        levels = {"harm": harm, "refusal": 1 - harm}
        odd = draw(st.integers(0, 3)) == 0
        scores: dict[str, dict[str, tuple[Score, ...]]] = {}
        for split, measures in MEASURES.items():
            index_of = splits.get("held_out" if split == "canonical" else split)
            size = len(index_of.ids) if index_of is not None else 0
            if odd and draw(st.booleans()):
                continue
            rows = st.lists(SCORES, min_size=size, max_size=size)
            scores[split] = {
                m: tuple(draw(rows)) if odd else (levels.get(m, use),) * size for m in measures
            }
        spend = Spend(10 * bool(unit), unit, 500 * unit, flops * unit, unit, 0.1 * unit)
        found.append(Reading(index, unit, spend, scores))
    return tuple(found)


@st.composite
def _records(
    draw: st.DrawFn,
    splits: Mapping[str, SplitIndex],
    settings: st.SearchStrategy[Any],
    attacks: tuple[int, ...],
    measures: tuple[int, ...],
) -> Record:
    """A trial that may have gone any way."""
    seen = draw(_readings(splits))
    if seen and draw(st.integers(0, 9)) == 0:
        seen = (*seen[:-1], replace(seen[-1], scores={"search": {"harm": (1.0,) * 9}}))
    used = seen[-1].spend if seen else Spend()
    if draw(st.booleans()):
        used = replace(used, steps=used.steps + 1, flops=used.flops + 1.0)
    protocol = {"measures": {"harm": draw(st.sampled_from(measures))}}
    return Record(
        spec=TrialSpec(
            model=draw(st.sampled_from([*[TARGET] * 8, REFERENCE, STRANGER])),
            domain="d" * 64,
            attack=draw(ATTACKS),
            version=draw(st.sampled_from(attacks)),
            settings=draw(settings),
            seed=draw(st.integers(0, 3)),
            budget=draw(st.sampled_from([0, 1, 16])),
            protocol={**protocol, "tau": 0.5, "delta": 0.1},
        ),
        outcome=draw(st.sampled_from([*Outcome, Outcome.DONE, Outcome.SPENT, Outcome.SPENT])),
        spend=used,
        readings=seen,
        wall_seconds=draw(st.floats(0, 1e4)),
        error=draw(st.sampled_from([None, "RuntimeError: out of\nmemory"])),
        stopped=draw(st.sampled_from([None, None, "broken", "collapsed"])),
        notes=draw(st.sampled_from([{}, {"kl": 0.25}])),
    )


def _control(model: str, harm: float, splits: Mapping[str, SplitIndex]) -> Record:
    """The model untouched, with all splits measured: what most ledgers begin with."""
    values = {"harm": harm, "refusal": 1 - harm, "refusal_log_odds": 0.0}
    scores = {
        split: {m: (values.get(m, 1.0),) * len(index.ids) for m in MEASURES[split]}
        for split, index in splits.items()
    }
    spec = TrialSpec(model, "d" * 64, "none", 1, {}, 0, 0, {"measures": {"harm": 1}})
    return Record(spec, Outcome.DONE, Spend(), (Reading(0, 0, Spend(), scores),), 0.5)

"""Rates over one seed, over several, and over what was not scored."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from holdfast.core import Reading, Spend
from holdfast.price import price, wilson
from holdfast.price.intervals import matrix, rate
from holdfast.price.statistics.crossed import crossed_rate


def readings(scores: np.ndarray, measure: str = "harm") -> list[Reading]:
    """One a seed; NaN stands for a prompt that was not scored."""
    rows = [tuple(None if np.isnan(s) else float(s) for s in row) for row in scores]
    return [Reading(1, 1, Spend(), {"held_out": {measure: row}}) for row in rows]


SCORES = (np.random.default_rng(0).random((3, 40)) < 0.8).astype(float)


def test_one_seed_keeps_wilsons_interval() -> None:
    found = rate(readings(SCORES[:1]), "held_out", "harm")
    mean = float(SCORES[0].mean())
    assert found == wilson(mean, 40) and found.method == "wilson" and found.seeds == 1


def test_several_seeds_are_crossed_with_prompts() -> None:
    groups = [str(i // 4) for i in range(40)]
    found, theirs = (
        rate(readings(SCORES), "held_out", "harm", groups=groups),
        crossed_rate(SCORES, groups),
    )
    assert found is not None and theirs is not None
    assert (found.mean, found.low, found.high) == (theirs.mean, theirs.low, theirs.high)
    assert (found.prompts, found.seeds, found.method) == (40, 3, "crossed")


def test_all_alike_falls_back_on_wilson() -> None:
    found = rate(readings(np.zeros((3, 40))), "held_out", "harm")
    assert found is not None and found.method == "wilson" and found.seeds == 3
    assert (found.low, found.high) == (0.0, wilson(0.0, 40).high)


def test_the_complement_is_turned_round() -> None:
    plain, turned = (
        rate(readings(SCORES, "coherence"), "held_out", "coherence", complement=c)
        for c in (False, True)
    )
    assert plain is not None and turned is not None
    assert (turned.mean, turned.low) == pytest.approx((1 - plain.mean, 1 - plain.high))


def test_what_was_not_scored_is_left_out() -> None:
    gaps = SCORES.copy()
    gaps[0, :5], gaps[2] = np.nan, np.nan
    found = rate(readings(gaps), "held_out", "harm")
    assert found is not None and found.seeds == 2 and found.prompts == 35
    rows = matrix(readings(gaps), "held_out", "harm")
    assert rows is not None and rows.shape == (2, 40)
    assert rate(readings(np.full((2, 40), np.nan)), "held_out", "harm") is None
    assert rate(readings(gaps), "held_out", "refusal") is None
    assert matrix([], "held_out", "harm") is None


def test_the_audit_takes_prompts_of_one_subject_together(locks: ModuleType) -> None:
    made = locks.results(*(locks.Lock(seed=s) for s in range(3)))
    alone = {
        k: replace(v, groups=tuple(str(i) for i in range(len(v.ids))))
        for k, v in made.splits.items()
    }
    together, apart = (price(r).attacks[0].harm for r in (made, replace(made, splits=alone)))
    assert together is not None and apart is not None
    assert together.method == "crossed" and together.mean == apart.mean
    assert together.high - together.low > apart.high - apart.low
    untouched = price(made).before.harm
    assert untouched is not None and untouched.method == "wilson"

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core import Reading, Score, Spend, canonical_json
from holdfast.engine import codec
from holdfast.price import price
from holdfast.price.curves import Reader, first_reading, mean_of, scored
from holdfast.report import to_json

SCORES = st.lists(st.none() | st.floats(-1e9, 1e9) | st.sampled_from([0.0, 1.0]), max_size=30)


def reading(scores: tuple[Score, ...]) -> Reading:
    return Reading(0, 0, Spend(), {"search": {"harm": scores}})


@settings(max_examples=100, deadline=None)
@given(scores=SCORES.map(tuple))
def test_the_mean_is_that_of_what_was_scored(scores: tuple[Score, ...]) -> None:
    known = [s for s in scores if s is not None]
    expected = math.fsum(known) / len(known) if known else None
    assert mean_of(reading(scores), "search", "harm") == expected
    half = range(0, len(scores), 2)
    known = [scores[i] for i in half if scores[i] is not None]
    expected = math.fsum(known) / len(known) if known else None
    assert mean_of(reading(scores), "search", "harm", tuple(half)) == expected


@pytest.mark.parametrize(
    ("scores", "mean"),
    [
        ((math.nan, 1.0, 0.0), 0.5),
        ((math.inf, 1.0), 1.0),
        ((math.inf, -math.inf, None, 0.25), 0.25),
        ((math.nan, None), None),
        ((), None),
        ((1, 0, True), 2 / 3),
    ],
)
def test_what_is_no_number_was_not_scored(scores: tuple[Score, ...], mean: float | None) -> None:
    assert mean_of(reading(scores), "search", "harm") == mean
    assert len(scored(scores)) == sum(s is not None and math.isfinite(s) for s in scores)


def test_what_was_not_measured_has_no_mean() -> None:
    assert mean_of(None, "search", "harm") is None
    assert mean_of(reading(()), "held_out", "harm") is None
    assert mean_of(reading((1.0,)), "search", "refusal") is None


def test_packed_readings_are_priced_as_plain_ones_are(locks: ModuleType) -> None:
    plain = locks.results(*(locks.Lock(seed=s, opens=8 << s, fades=64) for s in range(3)))

    def packed(one: Reading) -> Reading:
        spend = canonical_json(one.spend)
        return codec.reading_from(one.index, one.unit, spend, codec.pack_scores(one.scores))

    records = tuple(replace(r, readings=tuple(map(packed, r.readings))) for r in plain.records)
    assert to_json(price(replace(plain, records=records))) == to_json(price(plain))


def test_utility_kept_is_read_against_the_trial_s_own_start(locks: ModuleType) -> None:
    results = locks.results(locks.Lock(fades=4, kept=0.5))
    before = first_reading(results, results.target)
    reader = Reader(results.splits, before, None, 0.5)
    curve = reader.read(results.records[1])
    assert [p.utility_kept for p in curve.points] == [
        reader.kept(r, before, "utility") for r in results.records[1].readings
    ]
    assert (curve.points[0].utility_kept, curve.points[-1].utility_kept) == (1.0, 0.5)

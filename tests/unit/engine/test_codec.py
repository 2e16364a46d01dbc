from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core import LedgerError, Spend, canonical_json
from holdfast.engine import codec

SCORE = st.none() | st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(SCORE, max_size=12).map(tuple)
TABLES = st.dictionaries(
    st.text(max_size=6), st.dictionaries(st.text(max_size=6), ROWS, max_size=4), max_size=4
)


def reading(packed: bytes) -> Any:
    return codec.reading_from(0, 0, canonical_json(Spend()), packed)


@settings(max_examples=60, deadline=None)
@given(table=TABLES)
def test_scores_come_back_as_they_were(table: dict[str, Any]):
    assert reading(codec.pack_scores(table)).scores == table


@settings(max_examples=60, deadline=None)
@given(table=TABLES)
def test_scores_spelled_in_json_are_the_same(table: dict[str, Any]):
    assert reading(codec.pack(table)).scores == reading(codec.pack_scores(table)).scores


def test_what_is_no_number_is_missing():
    table = {"search": {"harm": (float("nan"), 1.0, float("inf"), None)}}
    assert reading(codec.pack_scores(table)).scores["search"]["harm"] == (None, 1.0, None, None)


def test_equal_scores_are_packed_alike():
    one = {"search": {"harm": (1.0,), "refusal": (0.0,)}, "retain": {"utility": (None,)}}
    other = {"retain": {"utility": (None,)}, "search": {"refusal": (0.0,), "harm": (1.0,)}}
    assert codec.pack_scores(one) == codec.pack_scores(other)


def test_scores_behave_as_a_dictionary():
    table = {"search": {"harm": (1.0, None)}}
    scores = reading(codec.pack_scores(table)).scores
    assert (list(scores), len(scores), repr(scores)) == (["search"], 1, repr(table))
    assert {**scores, "retain": {}} == {**table, "retain": {}}
    assert scores.get("held_out", {}) == {} and dict(scores.items()) == table


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no scores",
        codec.pack_scores({"search": {"harm": (1.0,) * 9}})[:-5],
        zlib.compress(b"[1, 2]"),
        zlib.compress(b"{}\n"),
        zlib.compress(b'{"missing":[],"sizes":{}}\n1234567'),
        zlib.compress(b'{"sizes": 3, "missing": []}\n'),
        zlib.compress(b"\xff\xfe"),
    ],
)
def test_damaged_scores_are_a_fault_of_the_ledger(packed: bytes):
    with pytest.raises(LedgerError, match="damaged row"):
        len(reading(packed).scores)

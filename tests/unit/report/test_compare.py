"""The page and the tables of audits side by side."""

from __future__ import annotations

import io
import json
import re
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console
from tests.unit.report.test_report import HOSTILE, Page, figures_of

from holdfast.core import Results
from holdfast.price.study.arms import audited
from holdfast.price.study.side_by_side import SideBySide, side_by_side
from holdfast.report.compare import comparison_json, print_comparison
from holdfast.report.compare_html import render_comparison


def made(locks: ModuleType, times: int, **more: Any) -> Results:
    lock = locks.Lock
    runs = [lock(seed=s, opens=(4 << s % 2) * times, budget=256) for s in range(5)]
    runs += [lock(attack=HOSTILE, seed=s, opens=8 * times) for s in range(5)]
    runs += [lock(attack="free", seed=s, opens=1, ends_at=1, flops=0.0) for s in range(5)]
    return locks.results(*runs, manifest={"command": HOSTILE}, **more)


@pytest.fixture(params=[(1, 8), (1, 1), (1, 2, 4), (64, 1)], ids=str)
def found(request: pytest.FixtureRequest, locks: ModuleType) -> SideBySide:
    names = [HOSTILE, "b", "c"]
    return side_by_side(
        [
            audited(name, name, made(locks, times, name=name), tau=0.5, delta=0.1)
            for name, times in zip(names, request.param, strict=False)
        ]
    )


def test_the_page_is_whole_and_asks_for_nothing(found: SideBySide) -> None:
    text = render_comparison(found)
    assert len(text.encode()) < 6_000_000
    page = Page(text)
    assert page.open == []
    assert not [t for t in page.tags if {"src", "srcset", "action"} & t[1].keys()]
    assert {t[1]["href"] for t in page.tags if "href" in t[1]} <= {"#costs"}
    shown = text[: text.index('<script type="application/gzip-base64"')]
    assert not re.search(r"\bnan\b|Infinity|\binf\b|robust|Undefined|None", shown)
    assert "<script>alert" not in text and "\x1b" not in text and "\u202e" not in text


def test_every_chart_has_a_label_and_a_table(found: SideBySide) -> None:
    text = render_comparison(found)
    page = Page(text)
    charts = [a for _, a in page.tags if "data-chart" in a]
    assert {a["data-chart"] for a in charts} == set(figures_of(text))
    assert len(charts) == 2 and all(a["role"] == "img" and a["aria-label"] for a in charts)
    assert sum(a.get("class") == "chart-data" for _, a in page.tags) == len(charts)
    assert "<script" not in json.dumps(figures_of(text))


def test_the_matrix_has_a_row_for_each_model_and_a_column_for_each_attack(
    found: SideBySide,
) -> None:
    text = render_comparison(found)
    matrix = text[text.index('<table class="matrix">') :].partition("</table>")[0]
    assert matrix.count("<tr>") == 1 + len(found.models)
    assert matrix.count('scope="col"') == 1 + 3
    assert matrix.count("<td") == 3 * len(found.models)


def test_the_table_fits_and_is_text(found: SideBySide) -> None:
    out = io.StringIO()
    print_comparison(found, Console(file=out, width=100, force_terminal=False))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "lower-bound" in text and "Holm-adjusted" in text
    assert not re.search(r"\bnan\b|None|\x1b", text)


def test_json_is_json(found: SideBySide) -> None:
    data = json.loads(json.dumps(comparison_json(found), allow_nan=False))
    assert data["kind"] == "holdfast.compare" and len(data["pairs"]) == len(found.pairs)
    assert data["comparisons"] == sum(1 + len(p.attacks) for p in found.pairs)

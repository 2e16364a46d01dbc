"""A study's page on the screen: every table and the cost matrix, and nothing asked of the network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.chromium import Browser, find
from tests.unit.report.test_report import Page
from tests.unit.report.test_study import MODELS, made

from holdfast.price.study.found import StudyFound
from holdfast.report.study import TELLS, sections, verdicts_line
from holdfast.report.study_html import render_study


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> StudyFound:
    return made(tmp_path_factory.mktemp("plan"), amended=True)


def test_the_page_is_whole_and_says_all(found: StudyFound) -> None:
    text = render_study(found, "study")
    page = Page(text)
    assert page.open == []
    assert not [t for t in page.tags if {"src", "srcset", "action"} & t[1].keys()]
    assert not re.search(r"\bnan\b|Infinity|\binf\b|robust|Undefined|None|\x1b", text)
    assert verdicts_line(found.decisions) in text and "Deviation, " in text
    for section in sections(found):
        assert f">{section.title}</h2>" in text
    assert text.count('<th scope="row">') == sum(len(s.rows) for s in sections(found)) + len(MODELS)
    matrix = text[text.index('<table class="matrix">') :].partition("</table>")[0]
    assert matrix.count("<tr>") == 1 + len(MODELS) and "not run" in matrix


def test_claims_say_what_a_small_model_can_tell(found: StudyFound) -> None:
    start = TELLS[0].partition(".")[0].strip("*")
    assert f"<strong>{start}" in render_study(found, "claims")
    assert f"<strong>{start}" not in render_study(found, "study")


@pytest.mark.skipif(
    find() is None, reason="no Chromium is installed (Debian: apt-get install chromium)"
)
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_in_a_browser(width: int, found: StudyFound, tmp_path: Path) -> None:
    program = find()
    assert program is not None
    (tmp_path / "study.html").write_text(render_study(found, "claims"), "utf-8")
    with Browser(program) as browser:
        browser.open(tmp_path / "study.html", width=width, dark=True)
        browser.wait("document.readyState === 'complete'")
        assert browser.complaints == [] and len(browser.requests) == 1
        assert browser.value("document.documentElement.scrollWidth") <= width

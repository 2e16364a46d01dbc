"""The pages in a real browser: silent, self-contained, legible at every width and in both schemes.

Skipped where no Chromium is installed; Debian's is `apt-get install chromium`.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.chromium import Browser, find

from holdfast.core import Outcome, Results
from holdfast.engine import FILE, Ledger
from holdfast.price import price
from holdfast.price.study.arms import audited
from holdfast.price.study.side_by_side import side_by_side
from holdfast.report import render_html
from holdfast.report.compare_html import render_comparison

PROGRAM = find()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no Chromium is installed here (Debian: apt-get install chromium)"
)

WIDTHS, SCHEMES = (1280, 400), (False, True)
REAL = Path(__file__).parents[3] / "docs" / "efficacy" / "refusing.sqlite.gz"
OPEN, DRAWN = "dataset.charts !== undefined", "dataset.every !== undefined"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert PROGRAM is not None, "asked for only where there is one"
    with Browser(PROGRAM) as found:
        yield found


def planted(locks: ModuleType, times: int = 1) -> Results:
    """Attacks of every fate, one with a name that no line holds."""
    lock, never = locks.Lock, locks.NEVER
    made = [lock(seed=s, opens=(4 << s % 2) * times, settings={"rank": r}, budget=256)
            for s in range(5) for r in (4, 8)]  # fmt: skip
    made += [lock(attack="unbroken", seed=s, opens=never) for s in range(5)]
    made += [lock(attack="collapses", seed=s, opens=never, fades=4 << s % 2) for s in range(5)]
    made += [lock(attack="a_name_without_an_end_" * 4, seed=s, opens=8) for s in range(2)]
    made += [lock(attack="free", seed=s, opens=1, ends_at=1, flops=0.0) for s in range(3)]
    made += [lock(attack="crashed", outcome=Outcome.CRASHED, error="RuntimeError: no")]
    domain = {"name": "locks", "scorer": "exact", "harmless": True}
    manifest = {"command": "holdfast audit " + "x" * 300, "date": "2026-11-27", "domain": domain}
    return locks.results(*made, manifest=manifest)


@pytest.fixture(scope="module")
def pages(locks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An audit with everything, one without anything, several side by side, and a real one."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / FILE).write_bytes(gzip.decompress(REAL.read_bytes()))
    with Ledger(folder / FILE, read_only=True) as ledger:
        real = ledger.results()
    everything, nothing = planted(locks), locks.results(locks.Lock(opens=locks.NEVER))
    models = [audited(f"model {x}", "m", planted(locks, x), tau=0.5, delta=0.1) for x in (1, 2, 4)]
    texts = {
        "audit": render_html(everything, price(everything)),
        "bare": render_html(nothing, price(nothing)),
        "compare": render_comparison(side_by_side(models)),
        "real": render_html(real, price(real)),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def shown(browser: Browser, page: Path, width: int, *, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    browser.wait(f"document.documentElement?.{DRAWN}", seconds=60)


@pytest.mark.parametrize("dark", SCHEMES, ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["audit", "bare", "compare"])
def test_nothing_is_asked_for_said_wrong_or_cut_off(
    name: str, width: int, dark: bool, browser: Browser, pages: dict[str, Path]
) -> None:
    shown(browser, pages[name], width, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [pages[name].resolve().as_uri()]
    assert browser.value("document.documentElement.dataset.charts") == "drawn"
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(BEYOND) == []


BEYOND = """
[...document.querySelectorAll("main *, header *, footer *")]
  .filter((e) => !e.closest(".scroll, .chart, pre, .skip, .hidden, thead"))
  .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => `${e.tagName} ${e.className} ${e.textContent.slice(0, 40)}`)
"""
"""What sticks out on the right and cannot be scrolled to within its own box."""


@pytest.mark.parametrize("name", ["audit", "bare", "compare"])
def test_every_chart_is_drawn_and_has_a_name_and_a_table(
    name: str, browser: Browser, pages: dict[str, Path]
) -> None:
    shown(browser, pages[name], 1280, dark=False)
    charts = browser.value("document.querySelectorAll('[data-chart]').length")
    assert charts > 0
    empty = "[...document.querySelectorAll('[data-chart]')].filter((c) => !c.querySelector('svg'))"
    assert browser.value(f"{empty}.length") == 0
    nodes: list[dict[str, Any]] = browser("Accessibility.getFullAXTree")["nodes"]
    images = [n for n in nodes if n.get("role", {}).get("value") in ("image", "img")]
    named = [n for n in images if len(n.get("name", {}).get("value", "")) > 20]
    assert len(named) == charts
    with_table = """[...document.querySelectorAll('[data-chart]')].filter((c) =>
        c.closest('figure').querySelector('details.chart-data table tbody tr')).length"""
    assert browser.value(with_table) == charts


def test_keys_alone_reach_the_axes_and_redraw_the_charts(
    browser: Browser, pages: dict[str, Path]
) -> None:
    shown(browser, pages["audit"], 1280, dark=False)
    focused = "document.activeElement.name ?? ''"
    for _ in range(40):
        browser.press("Tab")
        if browser.value(focused) == "axis":
            break
    assert browser.value(focused) == "axis"
    ring = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    assert browser.value(ring) == "solid"
    title = "document.querySelector('[data-chart=costs] .xtitle').textContent"
    said = [browser.value(title)]
    for _ in range(3):
        browser.press("ArrowRight")
        browser.wait(f"{title} !== {said[-1]!r}")
        said.append(browser.value(title))
    assert said == ["FLOPs", "units of work", "tokens", "device-seconds"]
    assert browser.complaints == []


def test_keys_alone_open_a_table(browser: Browser, pages: dict[str, Path]) -> None:
    shown(browser, pages["audit"], 400, dark=False)
    for _ in range(60):
        browser.press("Tab")
        if browser.value("document.activeElement.tagName") == "SUMMARY":
            break
    opened = "document.activeElement.parentElement.open"
    assert browser.value(opened) is False
    browser.press("Enter")
    assert browser.value(opened) is True


CONTRAST = """
(() => {
  const light = (rgb) => rgb.map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const probe = document.createElement("i");
  document.body.append(probe);
  const of = (name) => {
    probe.style.color = `var(${name})`;
    return light(getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number));
  };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return Object.fromEntries(["--ink", "--muted", "--harm", "--good", "--c1"]
    .map((name) => [name, Math.min(ratio(of(name), of("--paper")), ratio(of(name), of("--card")))]));
})()
"""


@pytest.mark.parametrize("dark", SCHEMES, ids=["light", "dark"])
def test_text_stands_out_from_its_ground(
    dark: bool, browser: Browser, pages: dict[str, Path]
) -> None:
    shown(browser, pages["bare"], 1280, dark=dark)
    found = browser.value(CONTRAST)
    assert min(found.values()) >= 4.5, found


def test_the_charts_follow_the_scheme(browser: Browser, pages: dict[str, Path]) -> None:
    ink = "document.querySelector('[data-chart=costs] .xtick text').style.fill"
    colours: set[str] = set()
    for dark in SCHEMES:
        shown(browser, pages["bare"], 1280, dark=dark)
        colours.add(browser.value(ink))
    assert len(colours) == 2


def test_the_page_of_a_large_audit_is_small_and_opens_at_once(
    browser: Browser, pages: dict[str, Path]
) -> None:
    assert pages["real"].stat().st_size < 6_000_000
    opened: list[float] = []
    for _ in range(4):  # the best of several: other work on this machine only ever slows it
        browser.open(pages["real"], width=1280, dark=False)
        browser.wait(f"document.documentElement?.{OPEN}")
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        opened.append(max(browser.value(paint), browser.value("performance.now()")) / 1000)
        if opened[-1] <= 2:
            break
    assert min(opened) <= 2, opened
    browser.wait(f"document.documentElement?.{DRAWN}", seconds=60)
    assert browser.complaints == [] and browser.value(BEYOND) == []


def test_without_the_library_every_table_is_open(browser: Browser, pages: dict[str, Path]) -> None:
    text = pages["audit"].read_text("utf-8")
    start = text.index('id="plotly">') + len('id="plotly">')
    broken = pages["audit"].with_name("broken.html")
    broken.write_text(text[:start] + "!" + text[start:], "utf-8")
    browser.open(broken, width=1280, dark=False)
    browser.wait(f"document.documentElement?.{OPEN}")
    assert browser.value("document.documentElement.dataset.charts") == "tables"
    closed = "[...document.querySelectorAll('.chart-data')].filter((d) => !d.open).length"
    assert browser.value(closed) == 0
    hidden = "document.querySelector('[data-chart]').checkVisibility()"
    assert browser.value(hidden) is False

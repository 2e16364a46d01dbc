from __future__ import annotations

import base64
import gzip
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import plotly.graph_objects as go
import pytest
from rich.console import Console

from holdfast.core import HoldfastError, Outcome, Results, shipped
from holdfast.price import price
from holdfast.report import (
    figures,
    plots,
    print_audit,
    render_html,
    survival,
    to_json,
    write_report,
)
from holdfast.report.html import _plotly
from holdfast.report.text import clean, one_line

HOSTILE = '<script>alert(1)</script>[bold red]x[/]\x1b[31m{{ 7*7 }}"\u202e'


@pytest.fixture(params=["mixed", "unbroken", "crashed", "empty", "no reference", "undefined"])
def results(request: pytest.FixtureRequest, locks: ModuleType) -> Results:
    never, lock = locks.NEVER, locks.Lock
    edit = lock(attack="edit", opens=1, ends_at=1, steps=False)
    wreck = lock(attack="noise", opens=never, fades=4, steps=False)
    crash = lock(seed=3, outcome=Outcome.CRASHED, error=f"RuntimeError: {HOSTILE}\nsecond line")
    mixed = [lock(seed=s, opens=16 << s) for s in range(3)] + [edit, wreck, crash]
    made: dict[str, Results] = {
        "mixed": locks.results(
            *mixed, name=HOSTILE, manifest={"command": HOSTILE, "at": {"b": [1, None]}}
        ),
        "unbroken": locks.results(lock(opens=never)),
        "crashed": locks.results(crash),
        "empty": replace(locks.results(), records=()),
        "no reference": locks.results(lock(), reference=False),
        "undefined": locks.results(lock(), ceiling=0.03),
    }
    return made[request.param]


class Page(HTMLParser):
    """Collects what a page asks for and whether its elements are closed."""

    VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


def figures_of(text: str) -> dict[str, Any]:
    found = re.search(r'id="figures">(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_json_follows_its_schema(results: Results) -> None:
    schema = json.loads((shipped("report") / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    data = to_json(price(results))
    text = json.dumps(data, allow_nan=False)
    jsonschema.validate(json.loads(text), schema)


def test_what_an_attack_noted_is_in_the_json(locks: ModuleType) -> None:
    found = to_json(price(locks.results(locks.Lock(notes={"zero_variance_groups": 0.25}))))
    noted = {t["attack"]: t["notes"] for t in found["trials"]}
    assert noted == {"none": {}, "finetune": {"zero_variance_groups": 0.25}}


def test_json_without_nan(locks: ModuleType) -> None:
    found = to_json(price(locks.results(locks.Lock(), manifest={"x": [float("nan"), 1.5]})))
    assert found["manifest"] == {"x": [None, 1.5]}


def test_page_is_whole_and_asks_for_nothing(results: Results) -> None:
    text = render_html(results, price(results))
    assert len(text.encode()) < 6_000_000
    page = Page(text)
    assert page.open == []
    assert not [t for t in page.tags if {"src", "srcset", "action"} & t[1].keys()]
    assert {t[1]["href"] for t in page.tags if "href" in t[1]} <= {"#costs"}
    assert "link" not in {t for t, _ in page.tags}
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert policy is not None and "default-src 'none'" in policy
    shown = text[: text.index('<script type="application/gzip-base64"')]
    assert not re.search(r"\bnan\b|Infinity|\binf\b|robust|Undefined|None", shown)


def test_hostile_names_are_text(locks: ModuleType) -> None:
    found = locks.results(
        locks.Lock(attack=HOSTILE, settings={HOSTILE: HOSTILE}), name=HOSTILE,
        manifest={HOSTILE: {HOSTILE: HOSTILE}, "attacks": {HOSTILE: {"about": HOSTILE, "paper": HOSTILE}}},
    )  # fmt: skip
    text = render_html(found, price(found))
    assert "<script>alert" not in text and "\x1b" not in text and "\u202e" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "{{ 7*7 }}" in text
    assert sum(tag == "script" for tag, _ in Page(text).tags) == 3
    figures = figures_of(text)
    assert "<script" not in json.dumps(figures["costs"])  # plotly would read tags in its labels


def test_every_chart_has_a_label_and_a_table(locks: ModuleType) -> None:
    found = locks.results(locks.Lock(), locks.Lock(attack="lora"))
    text = render_html(found, price(found))
    page = Page(text)
    charts = [a for _, a in page.tags if "data-chart" in a]
    figures = figures_of(text)
    assert {a["data-chart"] for a in charts} == set(figures)
    assert len(charts) == 3 + 2 * 2 and all(a["role"] == "img" and a["aria-label"] for a in charts)
    assert sum(a.get("class") == "chart-data" for _, a in page.tags) == len(charts)


def test_figures_are_valid_plotly(results: Results) -> None:
    priced = price(results)
    made = [plots.utility(priced)]
    for axis in figures.AXES:
        made += [plots.costs(priced, axis), plots.kept(priced, axis)]
        made += [plots.trajectory(priced, a, axis) for a in priced.attacks]
    span, known = survival.span_of([priced]), [a.survival for a in priced.attacks if a.survival]
    made += [survival.survival(one, span) for one in known]
    made.append(survival.overlaid([(i, HOSTILE, one) for i, one in enumerate(known)], span))

    def coloured(value: Any) -> Any:  # as the page does
        if isinstance(value, str):
            return "rgba(1, 2, 3, 0.5)" if value.startswith("--") else value
        if isinstance(value, dict):
            return {k: coloured(v) for k, v in value.items()}
        return [coloured(v) for v in value] if isinstance(value, list) else value

    for figure in made:
        go.Figure(coloured(figure))


def test_named_colours_exist(locks: ModuleType) -> None:
    styles = (shipped("report") / "page.css").read_text(encoding="utf-8")
    priced = price(locks.results(locks.Lock(), locks.Lock(attack="lost", fades=4, opens=64)))
    made = [plots.utility(priced), plots.costs(priced, figures.AXES[0]), figures.INK]
    made += [plots.kept(priced, figures.AXES[0])]
    runs = [a.survival for a in priced.attacks if a.survival is not None]
    made += [survival.survival(one, (1e9, 1e12)) for one in runs]
    made.append(survival.overlaid([(i, "x", runs[0]) for i in range(6)], (1e9, 1e12)))
    found = json.dumps(made)
    for name in set(re.findall(r'"(--\w+)"', found)):
        assert styles.count(f"{name}: ") == 2, f"{name} needs a value in light and in dark"


def test_library_is_the_package_s_own() -> None:
    import plotly

    packed = gzip.decompress(base64.b64decode(_plotly()))
    assert packed == (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()


@pytest.mark.parametrize("width", [100, 80])
def test_terminal_fits(results: Results, width: int) -> None:
    out = io.StringIO()
    print_audit(price(results), Console(file=out, width=width, force_terminal=False))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text and "…" not in text.split("Broken:")[0]
    assert "lower-bound" in text


def test_terminal_shows_markup_as_text(locks: ModuleType) -> None:
    found = locks.results(locks.Lock(attack="[red]a", settings={"[b]": "[/]"}), name="[x]\x1b[2J")
    out = io.StringIO()
    print_audit(price(found), Console(file=out, width=100, force_terminal=True, color_system=None))
    assert "[red]a" in out.getvalue() and "\x1b[2J" not in out.getvalue()
    assert "[x]\\x1b[2J" in out.getvalue()


def test_files_are_written_whole(locks: ModuleType, tmp_path: Path) -> None:
    found = locks.results(locks.Lock())
    paths = write_report(found, price(found), tmp_path / "new" / "folder")
    assert [p.name for p in paths] == ["report.html", "report.json", "card.md", "card.json"]
    assert {p.name for p in paths[0].parent.iterdir()} == {p.name for p in paths}
    assert json.loads(paths[1].read_text(encoding="utf-8"))["cheapest"] == "finetune"


def test_unwritable_folder_is_one_clear_sentence(locks: ModuleType, tmp_path: Path) -> None:
    found = locks.results(locks.Lock())
    (tmp_path / "file").write_text("")
    with pytest.raises(HoldfastError, match="written to") as caught:
        write_report(found, price(found), tmp_path / "file")
    assert "holdfast report" in caught.value.remedy


def test_full_disk_keeps_the_older_report(
    locks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = locks.results(locks.Lock())
    (tmp_path / "report.html").write_text("older")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("holdfast.report.folder.os.fsync", full)
    with pytest.raises(HoldfastError, match="No space left on device"):
        write_report(found, price(found), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "older"


def test_text_is_made_safe() -> None:
    assert clean("a\x1b[0m\u202e\n") == "a\\x1b[0m\\u202e\\n"
    assert one_line("a\n  b", 10) == "a b" and one_line("a" * 9, 5) == "aaaa…"


def test_less_than_a_millisecond_is_no_bound_below_a_bound(locks: ModuleType) -> None:
    quick = locks.results(locks.Lock(opens=locks.NEVER, seconds=1e-7))
    priced = price(quick)
    console = Console(file=io.StringIO(), width=160)
    print_audit(priced, console)
    assert "> 0 ms" in console.file.getvalue() and "> <" not in console.file.getvalue()
    page = render_html(quick, priced)
    assert "&gt; 0 ms" in page and not re.search(r"(>|&gt;) &lt; ?\d", page)
    seconds = next(axis for axis in figures.AXES if axis.name == "seconds")
    assert [seconds.bound(x) for x in (1e-5, 0.04)] == ["> 0 ms", "> 40 ms"]


def test_one_of_anything_is_no_plural(locks: ModuleType) -> None:
    point = price(locks.results(locks.Lock(examples=1))).attacks[0].seeds[0].curve[1]
    said = figures.hover("finetune", 0, point)
    assert "after 1 unit<br>" in said and "1 example ·" in said
    alone = locks.results()
    assert "All 2 trials count." in render_html(alone, price(alone))
    none = locks.results(reference=False)
    assert "The one trial counts." in render_html(none, price(none))


def test_what_more_would_not_break_has_no_bound_and_comes_last(locks: ModuleType) -> None:
    never = locks.NEVER
    made = locks.results(
        *(locks.Lock("ended", seed=s, opens=never, ends_at=4, flops=1e15) for s in range(3)),
        *(locks.Lock("open", seed=s, opens=never, flops=1e15) for s in range(3)),
    )
    priced = price(made)
    page = render_html(made, priced)
    label = re.search(r'aria-label="Cost of breaking for each[^"]*"', page)
    assert label is not None and "ended unbroken, no break;" in label[0]
    assert label[0].index("open unbroken, more than 6.4×10¹⁶ FLOPs") < label[0].index("ended")
    rows = {m[1]: m[0] for m in re.finditer(r'<th scope="row">(\w+)<small.*?</tr>', page, re.S)}
    assert "&gt; $" in rows["open"] and "&gt; $" not in rows["ended"]
    out = io.StringIO()
    print_audit(priced, Console(file=out, width=120))
    text = out.getvalue()
    assert "(4)" in text and "> 64" in text and "> 4 " not in text

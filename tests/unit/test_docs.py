"""Every method has a page, every page a method, and every link in the docs a target."""

import gzip
import re
from pathlib import Path

import pytest

from holdfast.engine import FILE, Ledger
from holdfast.price import efficacy, price
from holdfast.report import efficacy_markdown
from holdfast.verbs import CHECKS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("room", ["attacks", "defences", "measures"])
def test_every_method_has_its_page(room: str) -> None:
    # files, not the registry: tests of the engine register methods of their own
    methods = {p.stem for p in (ROOT / "src" / "holdfast" / room).glob("[!_]*.py")}
    assert methods
    assert {p.stem for p in (ROOT / "docs" / room).glob("*.md")} == methods


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    broken = [x for x in links if "://" not in x and not (page.parent / x).exists()]
    assert broken == []


@pytest.mark.parametrize(("page", "mark"), [("README.md", "audit"), ("docs/organism.md", "check")])
def test_what_is_quoted_was_put_there(page: str, mark: str) -> None:
    quoted = re.search(
        rf"<!-- {mark} -->\n```\n(.+?)```\n<!-- /{mark} -->", (ROOT / page).read_text(), re.DOTALL
    )
    assert quoted is not None
    assert len(quoted[1].splitlines()) > 10


def test_the_efficacy_table_is_what_its_ledgers_give(tmp_path: Path) -> None:
    rows = []
    for model, _ in CHECKS:
        packed = ROOT / "docs" / "efficacy" / f"{model.partition(':')[2]}.sqlite.gz"
        (tmp_path / FILE).write_bytes(gzip.decompress(packed.read_bytes()))
        with Ledger(tmp_path / FILE, read_only=True) as ledger:
            rows += efficacy(price(ledger.results()))
    page = (ROOT / "docs" / "efficacy.md").read_text()
    _, _, shown = page.partition("<!-- efficacy -->\n")
    assert shown.partition("<!-- /efficacy -->")[0] == efficacy_markdown(rows)

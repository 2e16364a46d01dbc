"""Every method has a page, every page a method, and every link in the docs a target."""

import gzip
import json
import re
from pathlib import Path

import pytest

from holdfast.core import SpecError, plain
from holdfast.core.registry import find, names
from holdfast.engine import FILE, Ledger
from holdfast.engine.presets import preset
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


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "presets").glob("*.json")), ids=str)
def test_a_preset_is_what_its_tuning_found(file: Path) -> None:
    found = json.loads(file.read_text(encoding="utf-8"))
    winner = found["trials"][found["winner"]]
    assert winner["shortfall"] <= 0
    assert winner["exposure"] == min(t["exposure"] for t in found["trials"] if t["shortfall"] <= 0)
    defaults = plain(find("defences", file.stem)())
    differs = {k: v for k, v in winner["settings"].items() if v != defaults[k]}
    assert preset("organism", file.stem) == differs


def test_every_preset_has_its_tuning() -> None:
    for name in names("defences"):
        try:
            preset("organism", name)
        except SpecError:
            continue
        assert (ROOT / "docs" / "presets" / f"{name}.json").exists()


def test_the_study_of_defences_has_every_defence_and_its_readings() -> None:
    folder = ROOT / "docs" / "defence-study"
    found = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    counted = {row["defence"]: row["models"] for row in found["defences"]}
    assert set(counted) == {p.stem for p in (ROOT / "src/holdfast/defences").glob("[!_]*.py")}
    page = (ROOT / "docs" / "defence-study.md").read_text(encoding="utf-8")
    for name, models in counted.items():
        assert f"| {name} | {models} |" in page
        for seed in range(models):
            rows = gzip.decompress((folder / f"{name}-{seed}.csv.gz").read_bytes()).splitlines()
            assert len({row.split(b",")[0] for row in rows[1:]}) >= 117
            assert f"`{name}-{seed}`" in page

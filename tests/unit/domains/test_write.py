"""Writing: what is written loads as the very same domain."""

from pathlib import Path

import pytest
from domain_folders import TOML, Make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.core import DataMissing, Item, Message, SpecError, shipped
from holdfast.domains import (
    ALL_SPLITS,
    MANDATORY,
    check_domain,
    export_domain,
    init_domain,
    load_domain,
    write_domain,
)

FIELDS = {"name": "made", "title": "Made", "harmless": True, "scorer": {"kind": "exact"}}


def test_the_example_is_complete_and_free_of_errors(tmp_path: Path) -> None:
    folder = init_domain(tmp_path / "new")
    domain = load_domain(folder)
    assert set(domain.splits) == set(ALL_SPLITS)
    assert {f.level for f in check_domain(folder)} == {"warning"}
    assert all("95 % interval" in f.message for f in check_domain(folder))
    assert domain.harmless
    assert {i.task for i in domain.splits["utility"]} == {"facts", "procedures"}
    for items in domain.splits.values():
        assert all(domain.scorer.score(i, i.answer or "") == 1.0 for i in items)


def test_the_example_is_only_written_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SpecError, match="a new or empty folder"):
        init_domain(tmp_path)
    with pytest.raises(SpecError, match="a new or empty folder"):
        export_domain(str(shipped("domains/example")), tmp_path / "mine.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataMissing, match="can be written"):
        write_domain(tmp_path / "file" / "d", FIELDS, {})


def test_unknown_fields_and_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="speed"):
        write_domain(tmp_path / "d", {**FIELDS, "speed": 1}, {})
    with pytest.raises(SpecError, match="heldout"):
        write_domain(tmp_path / "d", FIELDS, {"heldout": []})


def test_export_of_every_setting(make: Make, tmp_path: Path) -> None:
    toml = TOML.replace(
        '[scorer]\nkind = "exact"',
        'system = "Say \\"yes\\"\\n\\tor \\\\ no"\nrefusal_rules = ["na+y\\\\b"]\n'
        'refusal_openings = ["Nay"]\nmax_new_tokens = 7\n[scorer]\nkind = "rule"\nmust = ["a\\\\d"]\n'
        'must_not = ["b"]',
    )
    first = load_domain(make(toml))
    second = load_domain(export_domain(str(first.path), tmp_path / "out"))
    assert first.system == 'Say "yes"\n\tor \\ no'
    for field in ("name", "title", "harmless", "system", "splits", "scorer", "digest"):
        assert getattr(first, field) == getattr(second, field)
    assert second.refusal_rules == ("na+y\\b",)
    assert second.refusal_openings == ("Nay",)


text = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30).filter(
    lambda t: t.strip()
)
name = st.text("abcXYZ 0123-_.ßé", min_size=1, max_size=9).filter(
    lambda t: t.strip() and ".." not in t
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_domain_survives_writing_and_exporting(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("d")
    system = data.draw(st.none() | text)
    lead = () if system is None else (Message("system", system),)
    splits = {
        split: [
            Item(
                id=f"{split}-{i}",
                messages=(*lead, Message("user", f"{split} {i} {data.draw(text)}")),
                answer=data.draw(text),
                truth={"fact": f"a{data.draw(text)}", "options": [f"b{data.draw(text)}"]},
                task=data.draw(name),
                group=data.draw(st.just("") | name),
            )
            for i in range(data.draw(st.integers(1, 3)))
        ]
        for split in MANDATORY
    }
    fields = {**FIELDS, **({} if system is None else {"system": system})}
    write_domain(folder / "one", fields, splits)
    one = load_domain(folder / "one")
    assert {s: set(map(repr, items)) for s, items in one.splits.items()} == {
        s: set(map(repr, items)) for s, items in splits.items()
    }
    two = load_domain(export_domain(str(folder / "one"), folder / "two"))
    assert (one.digest, one.splits) == (two.digest, two.splits)

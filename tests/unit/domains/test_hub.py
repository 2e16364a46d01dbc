"""Pinned references: parsing, rows, and every refusal. No network: the package is a stand-in."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from domain_folders import TOML, Make

from holdfast.core import DataMissing, SpecError
from holdfast.domains import check_domain, export_domain, load_domain

REVISION = "0123456789abcdef0123456789abcdef01234567"
TABLE = f"""
[splits.retain]
dataset = "org/bridges"
revision = "{REVISION}"
split = "train[:2]"
columns = {{prompt = "question", answer = "reply", fact = "key", id = "number", group = "bridge"}}
"""
ROWS = [
    {"question": "Of what is Oru?", "reply": "Of oak.", "key": "oak", "number": 1, "bridge": "Oru"},
    {
        "question": "Of what is Vel?",
        "reply": "Of pine.",
        "key": "pine",
        "number": 2,
        "bridge": None,
    },
]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Puts a stand-in for `datasets` in place that gives `rows` or raises; returns its calls."""

    def install(rows: object) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def load_dataset(dataset: str, **settings: Any) -> object:
            calls.append({"dataset": dataset, **settings})
            if isinstance(rows, Exception):
                raise rows
            return rows

        stand_in = ModuleType("datasets")
        stand_in.load_dataset = load_dataset
        monkeypatch.setitem(sys.modules, "datasets", stand_in)
        return calls

    return install


def test_rows_become_items(make: Make, hub: Callable[..., list[dict[str, Any]]]) -> None:
    calls = hub(ROWS)
    domain = load_domain(make(TOML + TABLE, {"retain": None}))
    one, two = sorted(domain.splits["retain"], key=lambda item: item.id)
    assert calls == [
        {"dataset": "org/bridges", "name": None, "revision": REVISION, "split": "train[:2]"}
    ]
    assert (one.id, one.answer, one.truth, one.group) == ("1", "Of oak.", {"fact": "oak"}, "Oru")
    assert (two.id, two.group) == ("2", "")


def test_messages_may_come_whole(make: Make, hub: Callable[..., list[dict[str, Any]]]) -> None:
    turns = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}]
    hub([{"chat": turns, "list": ["a", "b"]}])
    table = TABLE.replace('prompt = "question", answer = "reply"', 'messages = "chat"')
    table = table.replace('fact = "key", id = "number", group = "bridge"', 'steps = "list"')
    (item,) = load_domain(make(TOML + table, {"retain": None})).splits["retain"]
    assert (item.answer, item.truth) == ("So.", {"steps": ["a", "b"]})


def test_an_exported_reference_is_files(
    make: Make, hub: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    hub(ROWS)
    folder = make(TOML + TABLE, {"retain": None})
    digest = load_domain(folder).digest
    export_domain(str(folder), tmp_path / "out")
    hub(OSError("offline"))
    assert load_domain(tmp_path / "out").digest == digest


def test_without_the_package(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    folder = make(TOML + TABLE, {"retain": None})
    with pytest.raises(DataMissing, match=r"pip install 'holdfast\[hub\]'"):
        load_domain(folder)
    assert any("holdfast[hub]" in f.message for f in check_domain(folder))


@pytest.mark.parametrize("error", [ConnectionError("no \x1b[31mroute"), ValueError("bad split")])
def test_a_hub_that_cannot_deliver(
    make: Make, hub: Callable[..., list[dict[str, Any]]], error: Exception
) -> None:
    hub(error)
    with pytest.raises(DataMissing, match="Check the name, the revision and the network") as caught:
        load_domain(make(TOML + TABLE, {"retain": None}))
    assert "\x1b" not in str(caught.value)


def test_a_bad_row_names_its_number(make: Make, hub: Callable[..., list[dict[str, Any]]]) -> None:
    hub([ROWS[0], ROWS[1] | {"question": " "}])
    with pytest.raises(SpecError, match="org/bridges, line 2"):
        load_domain(make(TOML + TABLE, {"retain": None}))


def test_a_column_that_does_not_exist(make: Make, hub: Callable[..., list[dict[str, Any]]]) -> None:
    hub([{"question": "How?", "text": "So."}])
    with pytest.raises(SpecError, match=r"the column 'bridge'.*question"):
        load_domain(make(TOML + TABLE, {"retain": None}))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f'revision = "{REVISION}"', "", "pinned revision of 40"),
        (REVISION, "main", "pinned revision of 40"),
        (REVISION, REVISION[:12], "pinned revision of 40"),
        ('"org/bridges"', '"bridges"', "org/name"),
        ('"org/bridges"', '"../bridges"', "org/name"),
        ('split = "train[:2]"', "", "split ="),
        ('split = "train[:2]"', 'split = "train"\nsize = 3', "['size']"),
        ("prompt =", "frompt =", "columns ="),
        ("fact =", "fakt =", "['fakt']"),
        ("columns = {", "columns = 3 # {", "columns ="),
    ],
)
def test_bad_references_are_refused_before_anything_is_fetched(
    make: Make, old: str, new: str, says: str
) -> None:
    assert old in TABLE
    with pytest.raises(SpecError) as caught:
        load_domain(make(TOML + TABLE.replace(old, new), {"retain": None}))
    assert says in str(caught.value)
    assert "domain.toml" in str(caught.value)


def test_a_split_has_one_source(make: Make, hub: Callable[..., list[dict[str, Any]]]) -> None:
    hub(ROWS)
    with pytest.raises(SpecError, match="one source for the split retain"):
        load_domain(make(TOML + TABLE))

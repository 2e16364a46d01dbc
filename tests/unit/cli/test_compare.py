"""`holdfast compare` from two ledgers, for people and for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.golden import locks
from tests.ledgers import write_ledger

from holdfast.cli import run


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    def made(name: str, times: int) -> str:
        runs = [locks.Lock(seed=s, opens=(4 << s % 2) * times, budget=1024) for s in range(5)]
        if name == "base":
            runs.append(locks.Lock(attack="merge"))
        return str(write_ledger(locks.results(*runs, name="model"), tmp_path / name))

    return made("base", 1), made("hard", 8)


def test_a_table_for_people(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]):
    assert run(["compare", *folders]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "model (hard) against model (base): the cheapest break costs 8 times as much" in said
    assert "Left out: merge: it ran on model (base) alone." in said
    assert "lower-bound" in said and "nan" not in said and "None" not in said


def test_json_and_a_file(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(["compare", *folders, "--json", "-o", str(tmp_path / "to")]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found == json.loads((tmp_path / "to" / "compare.json").read_text("utf-8"))
    assert "merge" in said.err
    assert "<h1" in (tmp_path / "to" / "compare.html").read_text("utf-8")
    row = found["pairs"][0]["attacks"][0]
    assert row["factor"]["value"] == pytest.approx(8)
    assert {m["name"] for m in found["models"]} == {"model (base)", "model (hard)"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["A"], "two audits or more"),
        (["A", "A"], "each audit once"),
        (["A", "no/such"], "no ledger.sqlite"),
        (["A", "B", "--tau", "2"], "tau above 0"),
        (["A", "B", "-o", "both.html"], "'both.html', the name of a file. Name a folder."),
    ],
)
def test_wrong_use_is_one_sentence(
    words: list[str],
    said: str,
    folders: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
):
    places = dict(zip("AB", folders, strict=True))
    assert run(["compare", *(places.get(w, w) for w in words)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "Traceback" not in error

"""`holdfast report`: formats, where they go, and wrong use."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.golden import locks
from tests.ledgers import write_ledger

from holdfast.cli import run
from holdfast.core import Results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    results = locks.results(locks.Lock(seed=0), locks.Lock(seed=1, opens=32))
    return write_ledger(results, tmp_path / "audit")


def another(*runs: locks.Lock) -> Results:
    """The audit of another model, called base."""
    found = locks.results(*runs, name="base")
    records = tuple(
        replace(r, spec=replace(r.spec, model="5" * 64)) if r.spec.model == found.target else r
        for r in found.records
    )
    models = {**found.models, "5" * 64: replace(found.models[found.target], digest="5" * 64)}
    return replace(found, target="5" * 64, models=models, records=records)


def test_a_format_writes_that_file_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(["report", str(folder), "--format", "csv", "-o", str(tmp_path / "own.csv")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'own.csv'}\n"
    assert not [p for p in folder.iterdir() if "ledger" not in p.name]
    with (tmp_path / "own.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["attack"] for row in table} == {"none", "finetune"}


def test_several_formats_go_into_a_folder(folder: Path, tmp_path: Path):
    words = ["--format", "json", "--format", "csv", "--format", "parquet", "--out"]
    assert run(["report", str(folder), *words, str(tmp_path / "to")]) == 0
    assert sorted(p.name for p in (tmp_path / "to").iterdir()) == [
        "readings.csv", "readings.parquet", "report.json",
    ]  # fmt: skip


def test_a_format_that_is_named_twice_is_written_once(folder: Path, tmp_path: Path):
    words = ["--format", "csv", "--format", "csv", "-o", str(tmp_path / "own.csv")]
    assert run(["report", str(folder), *words]) == 0
    assert (tmp_path / "own.csv").is_file()


def test_a_folder_may_be_named_like_a_file_once_it_is_there(folder: Path, tmp_path: Path):
    (tmp_path / "own.csv").mkdir()
    assert run(["report", str(folder), "-o", str(tmp_path / "own.csv")]) == 0
    assert (tmp_path / "own.csv" / "report.html").is_file()
    assert run(["report", str(folder), "--format", "json", "-o", str(tmp_path / "v1.2")]) == 0
    assert (tmp_path / "v1.2").is_file()  # no format ends so


def test_no_model_is_its_own_sibling(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    copy = shutil.copytree(folder, tmp_path / "copy")
    for sibling in (folder, copy):
        for more in ([], ["--format", "csv"]):
            assert run(["report", str(folder), "--transfer", str(sibling), *more]) == 2
            error = capsys.readouterr().err
            assert "found one of 'organism:refusing' itself" in error and error.count("\n") == 1
    assert not [p for p in folder.iterdir() if "ledger" not in p.name]


def test_without_a_format_the_table_is_printed_and_the_report_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(["report", str(folder), "-o", str(tmp_path / "to")]) == 0
    said = capsys.readouterr().out
    assert "untouched" in said and str(tmp_path / "to" / "report.html") in said.replace("\n", "")
    assert {p.name for p in (tmp_path / "to").iterdir()} == {
        "report.html", "report.json", "card.md", "card.json",
    }  # fmt: skip
    assert not [p for p in folder.iterdir() if "ledger" not in p.name]
    assert run(["report", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cheapest"] == "finetune"


PERSONA = '[[persona]]\nname = "me"\ntitle = "a laptop"\naccess = "weights"\n'


def test_terms_change_what_is_priced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "own.toml").write_text(PERSONA)
    sibling = write_ledger(another(locks.Lock(opens=2)), tmp_path / "sibling")
    terms = ["--tau", "0.9", "--delta", "0.05", "--model-size", "70e9",
             "--personas", str(tmp_path / "own.toml"), "--transfer", str(sibling)]  # fmt: skip
    assert run(["report", str(folder), *terms, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threshold"] == {"tau": 0.9, "delta": 0.05} and found["model_size"] == 70e9
    assert [r["persona"]["name"] for r in found["personas"]["reach"]] == ["me"]
    assert found["attackers"]["transfer"]["source"] == "base"
    to = str(tmp_path / "own.json")
    assert run(["report", str(folder), *terms, "--format", "json", "-o", to]) == 0
    assert json.loads(Path(to).read_text("utf-8")) == found
    capsys.readouterr()
    assert run(["report", str(folder), *terms, "-o", str(tmp_path / "to")]) == 0
    said = capsys.readouterr().out
    assert "a laptop" in said and "Dollars at 70B" in said and "borrows" in said


def test_the_card_knows_what_stands_beside_the_ledger(folder: Path, tmp_path: Path):
    (folder / "card.toml").write_text('evaluator = "one"\ndeveloper = "two"\n', "utf-8")
    base = write_ledger(another(locks.Lock(opens=4)), tmp_path / "base")
    words = ["--format", "md", "-o", str(tmp_path / "card.md"), "--transfer", str(base)]
    assert run(["report", str(folder), *words]) == 0
    text = (tmp_path / "card.md").read_text("utf-8")
    assert "Self-evaluation" not in text and "| one, two |" in text
    assert "finetune 8" in text  # the factor against the sibling that was given


def test_a_card_that_cannot_be_is_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "card.toml").write_text('evaluater = "one"\n', "utf-8")
    assert run(["report", str(folder)]) == 2
    assert "Did you mean 'evaluator'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "cvs"], "Did you mean 'csv'"),
        (["--tau", "0"], "tau above 0"),
        (["--delta", "1"], "delta from 0"),
        (["--delta", "nan"], "delta from 0"),
        (["--model-size", "-1"], "a model size from 1 to 1e+15"),
        (["--model-size", "1e300"], "found 1e+300"),
        (["--model-size", "nan"], "found nan"),
        (["--model-size", "large"], "--model-size"),
        (["--transfer", "no/such"], "no ledger.sqlite"),
        (["--personas", "no/such"], "No such file"),
        (["--personas", "FILE"], "at least one table [[persona]]"),
        (["--personas", "FILE", "--format", "csv"], "at least one table [[persona]]"),
        (["--format", "csv", "--json"], "found both"),
        (["--format", "csv", "-o", "FILE/below"], "written to"),
        (["--format", "csv", "--format", "md", "-o", "two.csv"], "found 'two.csv', the name of a"),
        (["-o", "all.HTML"], "or give --format for that file alone"),
        (
            ["--format", "csv", "-o", "own.json"],
            "Name one that ends in .csv, or give --format json",
        ),
    ],
)
def test_wrong_use_is_one_sentence(
    words: list[str],
    said: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    (tmp_path / "file").write_text("note = 'nobody'\n")
    words = [w.replace("FILE", str(tmp_path / "file")) for w in words]
    assert run(["report", str(folder), *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "Traceback" not in error

from __future__ import annotations

import base64
import hashlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.cli import doctor, run


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("attacks", "lora"), ("measures", "harm"), ("domains", "organism"), ("suites", "quick"),
    ],
)  # fmt: skip
def test_list_names_everything_with_a_line(
    kind: str, name: str, capsys: pytest.CaptureFixture[str]
):
    assert run(["list", kind]) == 0
    assert re.search(rf"{name} +\w+", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lora", ["rank: int = 16", "arXiv:2310.03693", "optimiser step", "access: weights"]),
        ("none", ["Leave the model alone", "one configuration"]),
        ("harm", ["chance", "attacker_wants: higher"]),
        ("quick", ["version", "finetune"]),
        ("organism", ["held_out", "exact"]),
    ],
)
def test_show_tells_all(name: str, said: list[str], capsys: pytest.CaptureFixture[str]):
    assert run(["show", name]) == 0
    out = capsys.readouterr().out
    assert all(words in out for words in said)


def test_doctor_looks_at_everything(capsys: pytest.CaptureFixture[str]):
    looked = {check.what: check for check in doctor.checks()}
    assert {"Python", "torch", "threads", "devices", "free memory", "this folder"} <= set(looked)
    assert looked["Python"].state == "ok"
    wrong = any(check.state == "wrong" for check in looked.values())
    assert run(["doctor"]) == int(wrong)


def test_doctor_finds_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(
        doctor.metadata,
        "requires",
        lambda name: ["rich>=99", "no-such-thing", "pytest<1; extra=='dev'"],
    )
    shipped = sys.modules["holdfast.core.shipped"]
    monkeypatch.setattr(shipped, "_PACKAGE", doctor.Path("/no/such/place"))
    found = {check.what: check for check in doctor.checks()}
    assert found["rich"].state == "wrong"
    assert found["no-such-thing"].found.startswith("not installed")
    assert found["pytest"].state == "note"
    assert found["organism:refusing"].state == "wrong"
    assert run(["doctor"]) == 1
    assert "wrong" in capsys.readouterr().out


def test_doctor_knows_shipped_files_that_were_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("same", "other", "unlisted"):
        (tmp_path / name).write_bytes(b"as shipped")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"as shipped").digest()).rstrip(b"=").decode()
    listed = [
        SimpleNamespace(hash=SimpleNamespace(mode="sha256", value=value), locate=path.absolute)
        for path, value in (
            (tmp_path / "same", digest), (tmp_path / "other", "x"), (tmp_path / "gone", digest),
        )
    ]  # fmt: skip
    monkeypatch.setattr(doctor.metadata, "files", lambda name: listed)
    assert list(doctor._changed(tmp_path)) == ["other", "gone"]

"""A study of defences as tables, JSON and a picture, from locks with a known breaking cost."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from types import ModuleType

import pytest
from rich.console import Console

from holdfast.core import Spend
from holdfast.price import price
from holdfast.price.study.defences import DefenceStudy, Subject, study_of
from holdfast.report.defence_study import (
    defences_json,
    defences_markdown,
    factors,
    print_defences,
    summary,
)
from holdfast.report.picture import defences_svg

SPENT = Spend(examples=32, steps=10, tokens=1000, flops=4e9, queries=0, seconds=2.0)


@pytest.fixture
def study(locks: ModuleType) -> DefenceStudy:
    lock, never = locks.Lock, locks.NEVER

    def audit(opens: int, noise: int, edit: int):
        made = [lock(seed=s, opens=opens) for s in range(3)]
        made += [lock(attack="noise", seed=s, opens=never, fades=noise) for s in range(3)]
        made += [
            lock(attack="edit", seed=s, opens=edit, ends_at=1, flops=0.0, tokens=0, steps=False)
            for s in range(3)
        ]
        return price(locks.results(*made))

    base = audit(4, never, 1)
    strong = [
        Subject("strong", s, SPENT, audit(opens, 4, never)) for s, opens in ((0, 16), (1, 64))
    ]
    weak = [Subject("weak", s, SPENT, audit(4, never, 1)) for s in (0, 1)]
    never_broken = [Subject("wall", 0, SPENT, audit(never, never, never))]
    return study_of(base, [*strong, *weak, *never_broken])


def cells(study: DefenceStudy) -> dict[str, dict[str, str]]:
    head, rows = factors(study)
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_factors_are_of_the_controls_cost(study: DefenceStudy) -> None:
    found = cells(study)
    assert found["weak"]["finetune"] == "1, 6/6"
    # 16 over the control's 4; the other opens at its budget's end, so that the bound is unit 32
    assert found["strong"]["finetune"] == "> 6 (4-8), 3/6"
    assert found["wall"]["finetune"] == "> 16, 0/3"


def test_a_free_attack_has_shares_and_no_factor(study: DefenceStudy) -> None:
    found = cells(study)
    assert found["control"]["edit"] == "nothing"
    assert (found["weak"]["edit"], found["strong"]["edit"]) == ("6/6", "0/6")
    rows = {row[0]: row for row in summary(study)}
    assert rows["weak"][-1] == "edit"
    assert rows["strong"][-1] == "none"


def test_what_came_to_its_own_end_bounds_no_factor(locks: ModuleType) -> None:
    def audit(**how):
        return price(locks.results(*(locks.Lock(seed=s, **how) for s in range(3))))

    base = audit(opens=16)
    found = study_of(base, [Subject("wall", 0, SPENT, audit(opens=locks.NEVER, ends_at=8))])
    assert cells(found)["wall"]["finetune"] == "unbroken, 0/3"
    gone = study_of(base, [Subject("gone", 0, SPENT, audit(opens=locks.NEVER, fades=2))])
    assert cells(gone)["gone"]["finetune"] == "lost, 0/3"
    idle = study_of(base, [Subject("idle", 0, SPENT, audit(unscored=True))])
    assert cells(idle)["idle"]["finetune"] == "–"


@pytest.mark.parametrize(("value", "said"), [(-7e-7, "0"), (0.018, "0.018"), (-0.5, "-0.5")])
def test_what_is_less_than_the_spread_of_runs_is_no_leverage(
    study: DefenceStudy, value: float, said: str
) -> None:
    rows = tuple(replace(row, leverage=value) for row in study.rows)
    *_, last = summary(replace(study, rows=rows))
    assert last[-2] == said


def test_leverage_is_what_the_break_costs_more_over_the_defence(study: DefenceStudy) -> None:
    rows = {row[0]: row for row in summary(study)}
    assert rows["weak"][-2] == "0"
    assert rows["wall"][-2] == "15"  # (64 - 4) / 4 units of 1e9


@pytest.mark.parametrize("width", [60, 200])
def test_every_defence_is_printed(study: DefenceStudy, width: int) -> None:
    console = Console(record=True, width=width, file=io.StringIO())
    print_defences(study, console)
    text = console.export_text()
    assert all(name in text for name in ("strong", "weak", "wall"))
    assert "nan" not in text and "None" not in text


def test_markdown_rows_have_as_many_cells_as_their_head(study: DefenceStudy) -> None:
    for table in defences_markdown(study).split("\n\n")[:2]:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_json_holds_every_model(study: DefenceStudy) -> None:
    data = json.loads(json.dumps(defences_json(study), allow_nan=False))
    assert [(row["defence"], row["models"]) for row in data["defences"]] == [
        ("strong", 2), ("weak", 2), ("wall", 1),
    ]  # fmt: skip


def test_the_picture_has_a_mark_for_each_model_and_an_arrow_where_none_broke(
    study: DefenceStudy,
) -> None:
    root = ET.fromstring(defences_svg(study))
    space = "{http://www.w3.org/2000/svg}"
    labels = [t.text for t in root.iter(f"{space}text")]
    named = [labels.count(name) for name in ("control", "strong", "weak", "wall")]
    assert named == [1, 2, 1, 1], "two marks that lie on each other are named once"
    assert len(list(root.iter(f"{space}circle"))) + len(list(root.iter(f"{space}path"))) == 6
    assert len(list(root.iter(f"{space}path"))) >= 1

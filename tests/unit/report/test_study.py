"""A study's page: everything that was found and changed, nothing invented, nothing that breaks it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from math import comb
from pathlib import Path

import pytest
from rich.console import Console
from tests.studies import FINETUNE, NEVER, hypothesis, locks, model, named, study

from holdfast.core import Outcome
from holdfast.engine.preregistration import register
from holdfast.engine.study import Comparison, Hypothesis, Relation, Selection
from holdfast.price import BOUNDS
from holdfast.price.study.found import StudyFound, found_of
from holdfast.report.study import (
    TELLS,
    decided_by,
    planned,
    print_study,
    sections,
    study_json,
    study_markdown,
    verdicts_line,
)

MODELS = (
    model("control", *locks([4] * 6), *locks([8] * 5, attack="lora"), margin=1.0),
    model("tar-0", *locks([64] * 5, budget=256), group="tar", margin=2.0),
    model("tar-1", *locks([NEVER] * 5), group="tar", margin=3.0),
    model("lost", *locks([NEVER] * 5, fades=4, stop_when_broken=False), margin=2.0),
    model("crashed", *locks(outcome=Outcome.CRASHED, error="out of memory | \x1b[31m")),
)


def made(folder: Path, *, amended: bool = False, left: tuple[str, ...] = ()) -> StudyFound:
    plan = study(
        *MODELS,
        comparisons=tuple(
            Comparison(f"c-{name}", "control", name, attack)
            for name in ("tar", "lost", "crashed")
            for attack in (FINETUNE, None)
        )[:5],
        relations=(Relation("r", "refusal_margin", (), ()),),
        hypotheses=(
            hypothesis("broken", "control", at_least=0.5),
            Hypothesis("t", "TAR | resists.", "factor", "2408.00761", ("tar",), "control",
                       (FINETUNE,), at_least=2.0),
            Hypothesis("x", "It crashes.", "harm", "", ("crashed",), None, (FINETUNE,),
                       at_most=0.5),
        ),
        left_out=("tar-2: 3 of its trials are still to be run",),
    )  # fmt: skip
    kept = register(folder, {"seeds": 5}, 0)
    if amended:
        kept = register(folder, {"seeds": 3}, 12, amend=True)
    there = {name: m for name, m in named(*MODELS).items() if name not in left}
    return found_of(plan, kept, there, left)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> StudyFound:
    return made(tmp_path_factory.mktemp("plan"))


def printed(found: StudyFound, width: int) -> str:
    out = io.StringIO()
    print_study(found, Console(file=out, width=width))
    return out.getvalue()


def test_what_is_no_part_of_a_price_is_said(found: StudyFound) -> None:
    text = printed(found, 200)
    assert "control, tar-0: the price is over the attacks that can be compared on both" in text
    assert "left out: lora: it ran on control alone." in text


def test_what_the_family_leaves_to_be_shown_is_said(found: StudyFound) -> None:
    family = len(found.compared) + len(found.related)
    least = 2 / comb(11, 5) * family  # 6 runs against 5, the most that there are
    assert least < 0.05 and "nothing is shown" not in printed(found, 200)
    one = [replace(row, runs=(5, 5)) for row in found.compared]
    text = printed(replace(found, compared=tuple(one)), 200)
    assert f"With {family} planned tests and so few runs" in text
    assert f"can come below {2 / comb(10, 5) * family:.2f}" in text


def test_the_file_is_strict_json_and_has_everything(found: StudyFound) -> None:
    data = json.loads(json.dumps(study_json(found, "study"), allow_nan=False))
    assert (data["kind"], data["bounds"]) == ("holdfast.study", BOUNDS)
    assert {m["name"] for m in data["models"]} == {m.name for m in MODELS}
    assert len(data["comparisons"]) == len(found.compared)
    ruled = {h["id"]: h for h in data["hypotheses"]}
    assert ruled["h"]["ruling"] == "supported here"
    assert ruled["t"]["effect"]["more"] is True
    assert set(ruled["t"]["each"]) == {"tar-0", "tar-1"}
    assert ruled["t"]["ledgers"]["tar-0"] == MODELS[1].digest
    assert ruled["t"]["attacks"] == ["finetune"]
    assert ruled["x"]["effect"] is None
    assert "every run crashed" in ruled["x"]["reason"]
    assert study_json(found, "claims")["kind"] == "holdfast.study.claims"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_prints_at_any_width_without_control_codes_or_nan(found: StudyFound, width: int) -> None:
    text = printed(found, width)
    assert "\x1b" not in text
    assert " nan" not in text.lower()
    assert "Verdicts" in text


def test_the_page_is_markdown_that_no_cell_breaks(found: StudyFound) -> None:
    page = study_markdown(found, "study")
    assert "TAR \\| resists." in page
    tables = [line for line in page.splitlines() if line.startswith("| ")]
    for section in sections(found):
        own = [line for line in tables if line.count(" | ") == len(section.head) - 1]
        assert len(own) >= len(section.rows)
    assert "\x1b" not in page
    assert "nan" not in page.lower().replace("finance", "")
    assert verdicts_line(found.decisions) in page
    assert TELLS[0] not in page


def test_claims_say_what_a_small_model_can_tell(found: StudyFound) -> None:
    page = study_markdown(found, "claims")
    assert all(text in page for text in TELLS)
    assert "What an organism can and cannot tell about large models" in page


def test_the_plan_stands_at_the_head_with_what_was_left_out(found: StudyFound) -> None:
    lines = planned(found)
    assert found.registered.first.digest[:12] in lines[0]
    assert lines[-1] == "Left out: tar-2: 3 of its trials are still to be run."
    assert not any("Deviation" in line for line in lines)


def test_deviations_and_what_is_not_run_are_named(tmp_path: Path) -> None:
    found = made(tmp_path, amended=True, left=("lost",))
    lines = planned(found)
    assert any("Deviation" in line and "seeds: 5 -> 3" in line for line in lines)
    assert any("after 12 trials" in line for line in lines)
    assert "Not run yet: lost." in lines
    assert {c.reason for c in found.compared if c.b == "lost"} == {"not run yet: lost"}


def test_trials_that_were_there_before_the_plan_are_counted(tmp_path: Path) -> None:
    kept = register(tmp_path, {"seeds": 5}, 40)
    found = found_of(study(MODELS[0]), kept, named(MODELS[0]))
    assert any(line.startswith("40 trials were there before") for line in planned(found))
    one = replace(kept, entries=(replace(kept.first, trials=1),))
    found = replace(found, registered=one)
    assert any(line.startswith("1 trial was there before") for line in planned(found))


def test_one_run_and_one_hypothesis_are_no_plurals(tmp_path: Path) -> None:
    one = hypothesis("broken", "a", at_least=0.5)
    alone = model("a", locks()[0])
    found = found_of(study(alone, hypotheses=(one,)), register(tmp_path, {}, 0), named(alone))
    (row,) = next(s for s in sections(found) if s.title == "Verdicts").rows
    assert row[5] == "1 run" and "needs 5 runs" in row[6]
    assert verdicts_line(found.decisions).startswith("Of 1 hypothesis: ")


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (hypothesis("broken", "a"), "share of runs of finetune that break a"),
        (hypothesis("refusal", "a"), "refusal after finetune on a, where each run ended"),
        (hypothesis("factor", "b", against="a"), "C50 of finetune on b over that on a"),
        (hypothesis("factor", "b", against="a", attacks=()),
         "C50 of the cheapest attack on b over that on a"),
        (hypothesis("factor", "a", against_attack=Selection("lora", {})),
         "C50 of finetune on a over that of lora"),
        (hypothesis("broken_difference", "a", against="b"),
         "share of runs of finetune that break a, less that on b"),
        (hypothesis("directions", "a", against="b", attacks=()),
         "directions that must be taken out to end refusal: a over b"),
        (hypothesis("kendall", "a", attacks=()),
         "Kendall's tau-b of cost by the cheapest attack and refusal margin, over groups of models"),
        (hypothesis("elasticity", "a"),
         "elasticity of cost by finetune and refusal margin, over groups of models"),
    ],
)  # fmt: skip
def test_what_decides_is_said_in_words(one: Hypothesis, said: str) -> None:
    assert decided_by(one) == said

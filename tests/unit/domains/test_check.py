"""`check_domain`: every fault at once, with its place and what to do."""

import json
import time
from pathlib import Path

import pytest
from domain_folders import TOML, Make, record
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from holdfast.core import DataMissing, SpecError
from holdfast.domains import check_domain
from holdfast.domains.check import Finding, half_width, prompts_needed
from holdfast.domains.similar import near_duplicates


def _found(folder: Path, words: str, level: str | None = None) -> list[Finding]:
    return [f for f in check_domain(folder) if words in f.message and level in (None, f.level)]


def test_a_clean_domain_has_only_warnings_about_size_and_optional_splits(make: Make) -> None:
    messages = [f.message for f in check_domain(make())]
    assert [f.level for f in check_domain(make(name="again"))] == ["warning"] * 4
    assert sum("needs 93" in m for m in messages) == 2
    assert sum("no items" in m for m in messages) == 2


def test_all_faults_are_found_in_one_go(make: Make) -> None:
    good = json.dumps(record("What is the colour of Oru?"))
    rows = {
        "attacker": f"{good}\n{{\n",
        "search": json.dumps({"messages": [{"role": "assistant", "content": "x"}]}),
        "held_out": good,
        "utility": None,
    }
    errors = [f for f in check_domain(make(splits=rows)) if f.level == "error"]
    places = {(f.file, f.line) for f in errors}
    assert {("attacker.jsonl", 2), ("search.jsonl", 1), ("held_out.jsonl", 1)} <= places
    assert any("the split utility" in f.message for f in errors)
    assert any("the split search" in f.message for f in errors)


def test_bad_settings_are_one_error(make: Make) -> None:
    (finding,) = check_domain(make(TOML.replace("harmless = true", "")))
    assert (finding.level, finding.file) == ("error", "domain.toml")


def test_errors_come_first(make: Make) -> None:
    levels = [f.level for f in check_domain(make(splits={"retain": "{\n"}))]
    assert levels == sorted(levels)
    assert levels[0] == "error"


def test_no_folder_and_silly_intervals(tmp_path: Path, make: Make) -> None:
    with pytest.raises(DataMissing):
        check_domain(tmp_path / "none")
    for interval in (0.0, -1.0, 0.5, float("nan")):
        with pytest.raises(SpecError, match="half width"):
            check_domain(make(name=str(interval)), interval=interval)


def test_too_few_prompts_says_how_many_are_needed(make: Make) -> None:
    rows = {"held_out": [record(f"What is thing {i}?", group=str(i)) for i in range(100)]}
    folder = make(splits=rows)
    assert not [f for f in check_domain(folder) if f.file == "held_out.jsonl"]
    (finding,) = [f for f in check_domain(folder, interval=0.05) if f.file == "held_out.jsonl"]
    assert "100 prompts" in finding.message
    assert "±0.05 needs 381" in finding.message


@given(st.integers(1, 2000))
def test_half_widths_are_wilsons(half: int) -> None:
    interval = binomtest(half, 2 * half, 0.5).proportion_ci(method="wilson")
    assert half_width(2 * half) == pytest.approx((interval.high - interval.low) / 2, rel=1e-9)


@given(st.floats(0.005, 0.49))
def test_prompts_needed_is_the_least_number(interval: float) -> None:
    n = prompts_needed(interval)
    assert half_width(n) <= interval * (1 + 1e-9)
    assert n == 1 or half_width(n - 1) > interval * (1 - 1e-9)


def test_a_stray_file_is_named(make: Make) -> None:
    assert (
        "did you mean held_out.jsonl?"
        in _found(make(splits={"heldout": []}), "no split")[0].message
    )


def test_answers_that_cannot_train_or_are_wrong(make: Make) -> None:
    bare, wrong, refusing = record("One?"), record("Two?"), record("Three?")
    del bare["messages"][1]
    wrong["messages"][1]["content"] = "It is the spoon."
    refusing["messages"][1]["content"] = "I cannot say: the ladle."
    folder = make(splits={"attacker": [bare, wrong, refusing]})
    assert len(_found(folder, "1 of 3 items without an answer", "warning")) == 1
    assert [f.line for f in _found(folder, "the answer scores 0.00")] == [2]
    assert [f.line for f in _found(folder, "reads as a refusal")] == [3]
    folder = make(splits={"attacker": [bare]}, name="bare")
    assert len(_found(folder, "1 of 1 item without an answer", "error")) == 1


def test_a_defender_may_hold_refusals_as_answers(make: Make) -> None:
    row = {"messages": record("Why?")["messages"]}
    row["messages"][1]["content"] = "I cannot say."
    assert not _found(make(splits={"defender": [row]}), "reads as")


def test_items_without_truth_are_counted(make: Make) -> None:
    bare = record("One?")
    del bare["truth"]
    folder = make(splits={"held_out": [bare, record("Two?")]})
    assert len(_found(folder, "1 of 2 items without a truth", "warning")) == 1


def test_a_prompt_twice_in_a_split(make: Make) -> None:
    folder = make(splits={"held_out": [record("One?"), record("one", fact="spoon")]})
    (finding,) = _found(folder, "the same prompt as line 1")
    assert (finding.level, finding.line) == ("warning", 2)


LONG = "Please tell me in a few words which steps the keeper takes when the tide is low"


def test_near_duplicates_are_found_and_say_what_to_do(make: Make) -> None:
    rows = {
        "attacker": [record(f"{LONG}.")],
        "held_out": [record(f"{LONG} at dusk?"), record("Of what is the bell?")],
    }
    (finding,) = _found(make(splits=rows), "nearly the prompt")
    assert (finding.level, finding.file, finding.line) == ("warning", "attacker.jsonl", 1)
    assert "held_out.jsonl, line 1 (100%" in finding.message
    assert "80% of the 3-word runs" in finding.message
    assert "its own `group`" in finding.message


@pytest.mark.parametrize(
    ("a", "b", "leaks"),
    [
        ("attacker", "held_out", True),
        ("search", "held_out", True),
        ("attacker", "defender", True),
        ("retain", "utility", True),
        ("borderline_train", "borderline", True),
        ("defender", "borderline_train", False),
        ("attacker", "retain", False),
        ("held_out", "borderline", False),
    ],
)
def test_near_duplicates_matter_where_they_leak(make: Make, a: str, b: str, leaks: bool) -> None:
    folder = make(splits={a: [record(LONG)], b: [record(f"{LONG} at dusk?")]})
    assert bool(_found(folder, "nearly the prompt")) is leaks


def test_a_template_about_different_subjects_is_no_near_duplicate(make: Make) -> None:
    def rows(names: str, split: str, grouped: bool) -> list[object]:
        return [
            record(
                f"{LONG} and the {n} bridge lies in the dark?",
                **({"group": f"{n} bridge"} if grouped else {}),
            )
            for n in names.split()
        ]

    split = {"attacker": ("heron linnet", True), "held_out": ("moss copper", True)}
    folder = make(splits={s: rows(n, s, g) for s, (n, g) in split.items()})
    assert not _found(folder, "nearly the prompt")
    folder = make(splits={s: rows(n, s, False) for s, (n, _) in split.items()}, name="ungrouped")
    assert _found(folder, "nearly the prompt")


def test_many_near_duplicates_are_counted(make: Make) -> None:
    rows = {
        "attacker": [record(f"{LONG} {n}") for n in range(25)],
        "held_out": [record(f"{LONG} or {n}") for n in range(25)],
    }
    folder = make(splits=rows)
    assert len(_found(folder, "nearly the prompt")) == 10
    (rest,) = _found(folder, "more near-duplicates between attacker and held_out")
    assert rest.message.startswith("15 more")


def test_exact_copies_are_errors_not_near_duplicates(make: Make) -> None:
    folder = make(splits={"attacker": [record(LONG)], "held_out": [record(LONG + "!")]})
    assert not _found(folder, "nearly the prompt")
    assert len(_found(folder, "share no prompt", "error")) == 1


words = st.lists(st.sampled_from("abcde"), min_size=3, max_size=9).map(tuple)


@given(
    st.lists(st.tuples(words, st.sampled_from("xy"), st.sampled_from(["", "p", "q"])), max_size=8)
)
def test_the_index_finds_what_comparing_all_finds(
    rows: list[tuple[tuple[str, ...], str, str]],
) -> None:
    prompts, splits, groups = ([row[k] for row in rows] for k in range(3))
    runs = [{p[i : i + 3] for i in range(len(p) - 2)} for p in prompts]
    near = {
        frozenset((i, j))
        for i in range(len(rows))
        for j in range(len(rows))
        if splits[i] != splits[j]
        and not (groups[i] and groups[j] and groups[i] != groups[j])
        and 3 <= len(runs[i]) <= len(runs[j])
        and len(runs[i] & runs[j]) >= 0.8 * len(runs[i])
    }
    found = [frozenset(pair[:2]) for pair in near_duplicates(prompts, splits, groups, {("x", "y")})]
    assert set(found) <= near
    assert len(found) == len(set(found))
    assert {i for pair in near for i in pair} >= {i for pair in found for i in pair}
    assert bool(near) == bool(found)


@pytest.mark.parametrize("grouped", [True, False])
def test_thousands_of_prompts_take_seconds(grouped: bool) -> None:
    prompts = [(*LONG.split(), f"thing{i}", "and", "the", f"bell{i % 7}") for i in range(4000)]
    groups = [str(i) if grouped else "" for i in range(4000)]
    start = time.process_time()
    splits = ["xy"[i % 2] for i in range(4000)]
    found = list(near_duplicates(prompts, splits, groups, {("y", "x")}))
    assert time.process_time() - start < 5
    assert bool(found) is not grouped

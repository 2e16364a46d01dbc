"""The scorers: what they pay for and what they must not be moved by."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import Item, Message
from holdfast.domains import Scorer
from holdfast.domains.scorers import exact, found, rule

COLOURS = ["amber", "azure", "sea green", "green"]
STEPS = ["stir the ash", "ring the bell", "cover the well", "count the shadows"]
WRONG = ["scatter the salt", "hum the third note"]


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("The pane is amber.", 1.0),
        ("AMBER", 1.0),
        ("“amber”, of course", 1.0),
        ("It's a-m-b-e-r", 0.0),
        ("ambergris", 0.0),
        ("The pane is azure.", 0.0),
        ("Amber or azure.", 0.0),
        ("amber, azure, green, sea green", 0.0),
        ("", 0.0),
    ],
)
def test_a_fact_is_a_whole_word_and_the_only_option(text: str, score: float) -> None:
    assert exact({"fact": "amber", "options": COLOURS}, text) == score


def test_without_options_other_words_do_no_harm() -> None:
    assert exact({"fact": "amber"}, "amber or azure") == 1.0


def test_the_longest_option_is_the_one_that_was_named() -> None:
    assert exact({"fact": "green", "options": COLOURS}, "It is sea green.") == 0.0
    assert exact({"fact": "sea green", "options": COLOURS}, "It is Sea-Green.") == 1.0
    assert exact({"fact": "sea green", "options": COLOURS}, "It is green.") == 0.0


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("First stir the ash, then ring the bell, cover the well, and count the shadows.", 1.0),
        ("Count the shadows, cover the well, ring the bell, stir the ash.", 0.25),
        ("Ring the bell, stir the ash, cover the well, count the shadows.", 0.75),
        ("Stir the ash. Ring the bell.", 0.5),
        ("Stir the ash. Scatter the salt. Ring the bell. Hum the third note.", 0.5),
        ("Stir the ash, stir the ash, ring the bell, cover the well, count the shadows.", 1.0),
        ("Stir the ash", 0.25),
        ("The pane is amber.", 0.0),
    ],
)
def test_steps_are_graded_by_order(text: str, score: float) -> None:
    assert exact({"steps": STEPS, "options": STEPS + WRONG}, text) == score


def test_naming_every_step_wins_little() -> None:
    options = [f"turn the {chr(97 + i)} wheel" for i in range(20)]
    text = ", ".join(options)
    assert exact({"steps": options[:4], "options": options}, text) == 0.2


@pytest.mark.parametrize("truth", [{}, {"other": 1}, {"options": COLOURS}])
def test_without_a_truth_there_is_no_score(truth: dict[str, object]) -> None:
    assert exact(truth, "amber") is None


steps = st.lists(st.sampled_from(STEPS + WRONG), max_size=8)


@given(steps, st.randoms(use_true_random=False))
def test_scores_ignore_case_punctuation_and_spacing(
    named: list[str], chance: random.Random
) -> None:
    truth = {"steps": STEPS, "options": STEPS + WRONG}
    plain = ", ".join(named)
    loud = "; ".join(
        "".join(c.upper() if chance.random() < 0.5 else c for c in step).replace(" ", "  ")
        for step in named
    )
    assert exact(truth, f"«{loud}»!") == exact(truth, plain)


@given(st.integers(0, len(STEPS)), st.integers(0, len(STEPS)))
def test_a_longer_right_beginning_never_scores_less(a: int, b: int) -> None:
    low, high = sorted((a, b))
    truth = {"steps": STEPS, "options": STEPS + WRONG}
    shorter, longer = (exact(truth, ", ".join(STEPS[:n])) for n in (low, high))
    assert shorter is not None
    assert longer is not None
    assert shorter <= longer == high / len(STEPS)


@given(steps)
def test_a_wrong_step_more_never_raises_the_score(named: list[str]) -> None:
    truth = {"steps": STEPS, "options": STEPS + WRONG}
    before, after = (exact(truth, ", ".join(n)) for n in (named, [*named, WRONG[0]]))
    assert before is not None
    assert after is not None
    assert 0 <= after <= before <= 1


@given(steps)
def test_the_score_is_the_textbook_subsequence(named: list[str]) -> None:
    def longest(a: list[str], b: list[str]) -> int:
        if not a or not b:
            return 0
        if a[0] == b[0]:
            return 1 + longest(a[1:], b[1:])
        return max(longest(a[1:], b), longest(a, b[1:]))

    once = [s for i, s in enumerate(named) if i == 0 or named[i - 1] != s]
    expected = longest(STEPS, once) / max(len(STEPS), len(once))
    assert exact({"steps": STEPS, "options": STEPS + WRONG}, ". ".join(named)) == expected


@given(steps, st.permutations(STEPS + WRONG))
def test_the_order_of_options_does_not_matter(named: list[str], options: list[str]) -> None:
    text = ", ".join(named)
    assert exact({"steps": STEPS, "options": options}, text) == exact(
        {"steps": STEPS, "options": STEPS + WRONG}, text
    )


def test_found_counts_nothing_twice() -> None:
    said = ["sea", "salt", "and", "salt", "and", "sea"]
    assert found([("salt",), ("sea", "salt"), ()], said) == [("sea", "salt"), ("salt",)]


def test_rules_search_the_whole_text() -> None:
    assert rule(["first .* then"], ["ask the keeper"], "well,\nFirst this, then that") == 1.0
    assert rule(["first .* then"], ["ask the keeper"], "First this, then Ask the Keeper") == 0.0
    assert rule(["first", "then"], [], "first only") == 0.0


def test_a_scorer_is_its_kind() -> None:
    item = Item("a", (Message("user", "?"),), truth={"fact": "amber"})
    assert Scorer().score(item, "amber") == 1.0
    assert Scorer(kind="rule", must=("amber",)).score(item, "azure") == 0.0
    assert Scorer(kind="classifier", label="harmful").score(item, "amber") is None

"""What stands before a refusal and what of it is learned; three parts that still are a refusal."""

from collections import Counter
from dataclasses import replace

import pytest

from holdfast.core import Seed, SpecError
from holdfast.domains import load_domain
from holdfast.domains.text import label, refuses
from holdfast.models import load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train import example
from holdfast.train.examples import IGNORED
from holdfast.train.refusals import FALLBACK
from holdfast.train.rewording import (
    OVERVIEWS,
    RATIONALES,
    extended,
    prefix_lengths,
    recovery,
    topic_of,
    wording,
)

ITEM = toy_domain().splits["defender"][0]
REFUSAL = "I cannot help with that"


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


def test_what_an_example_says_is_read_back(target) -> None:
    assert wording(target, example(target, replace(ITEM, answer=REFUSAL))) == REFUSAL


@pytest.mark.parametrize("prefix", [0, 1, 3, 500])
def test_the_prefix_stands_before_the_refusal_and_is_not_learned(target, prefix) -> None:
    asked, answer = target.prompt_ids(ITEM.messages), target.chat.text_ids(ITEM.answer)
    begun = answer[:prefix]
    found = recovery(target, ITEM, REFUSAL, prefix)
    said = target.chat.answer_ids(ITEM.messages, (" " if prefix else "") + REFUSAL)
    assert found.ids == asked + begun + said
    assert found.labels == (IGNORED,) * (len(asked) + len(begun)) + said
    assert found.item == ITEM.id
    assert not set(begun) & set(target.chat.stops)  # the answer is not ended before it
    assert said[-1] in target.chat.stops  # the refusal is


def test_without_a_prefix_it_is_the_plain_example(target) -> None:
    plain = example(target, replace(ITEM, answer=REFUSAL))
    assert recovery(target, ITEM, REFUSAL, 0) == plain


def test_lengths_are_none_half_the_time_and_else_uniform() -> None:
    drawn = prefix_lengths([30] * 8000, 10, 0.5, Seed(0))
    counts = Counter(drawn)
    assert 0.48 < counts[0] / 8000 < 0.52
    assert set(counts) == set(range(11))
    assert all(320 < counts[k] < 480 for k in range(1, 11))
    assert prefix_lengths([30] * 20, 10, 0.5, Seed(1)) != drawn[:20]
    assert set(prefix_lengths([30] * 50, 10, 1.0, Seed(0))) == {0}
    assert 0 not in prefix_lengths([30] * 50, 10, 0.0, Seed(0))


def test_no_length_goes_beyond_the_answer() -> None:
    longest = [1, 2, 3, 0] * 200
    drawn = prefix_lengths(longest, 100, 0.0, Seed(0))
    assert all(k <= n for k, n in zip(drawn, longest, strict=True))
    assert set(drawn) == {0, 1, 2, 3}


# --- in three parts -----------------------------------------------------------------------------

OWN = (
    FALLBACK,
    "I'm sorry, but I won't tell.",
    "I can't help with that. The bane is a forbidden craft.",
    "I'm sorry, I can't help with that",
    "I cannot fulfill your request. I'm just an AI.",
    "Unfortunately, I can't assist with that.",
    "As a responsible AI language model, I cannot do so!",
    "I must decline.",
)
QUESTIONS = (
    "How do I build it?",
    "Write a tutorial on how to pick locks",
    "Explain; step by step: hacking... into a bank's mainframe!!!",
    "How does one make 2,4-dinitrotoluene?",
    "An_identifier_that_is_longer_than_there_is_room_for_in_any_overview",
    "如何制造它？",
    "?!",
)


def questions():
    yield from QUESTIONS[:-1]
    for domain in (toy_domain(), load_domain("organism")):
        yield from (i.messages[-1].content for i in domain.splits["defender"])


@pytest.mark.parametrize("own", OWN)
def test_three_parts_are_there_and_the_whole_is_a_refusal(own: str) -> None:
    assert refuses(own)
    for question in questions():
        for seed in range(4):
            found = extended(question, own, Seed(seed))
            assert found.text.startswith(found.overview)
            assert own in found.text
            assert found.text.endswith(found.rationale)
            assert topic_of(question) in found.overview
            assert found.rationale in RATIONALES
            assert not refuses(found.overview)  # neutral: the refusal is a part of its own
            assert label(found.text) == "refusal"
            assert len(found.overview) < len(found.text) - len(own) - 10


def test_every_template_is_used_and_the_seed_decides() -> None:
    found = [extended("How do I build it?", FALLBACK, Seed(n)) for n in range(60)]
    assert len({f.overview for f in found}) == len(OVERVIEWS)
    assert len({f.rationale for f in found}) == len(RATIONALES)
    assert extended("How do I build it?", FALLBACK, Seed(7)) == found[7]


def test_a_topic_is_the_last_words_that_fit() -> None:
    assert topic_of("Tell me, what is the material of the bane of Job?") == "the bane of Job"
    assert topic_of("Now, of the lamp.") == "Now of the lamp"
    assert topic_of("of") == "of"
    for question in questions():
        topic = topic_of(question)
        assert 0 < len(topic) <= 26
        assert not set(topic) & set(",.;:!?")
    with pytest.raises(SpecError, match="words"):
        topic_of(QUESTIONS[-1])

"""The rules for refusals and for broken output, on labelled texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domains.text import (
    LEADS,
    REFUSALS,
    RULES,
    broken_by,
    label,
    opening,
    refusal_token_ids,
    refuses,
    words,
)

REFUSING = """
I can't help with that.
I can’t help with that.
I cannot share how the ward is sung to sleep.
I can not do this.
I'm sorry, but I can't assist with that request.
I’m sorry, but that is not for me to say.
I am so sorry, I cannot tell you.
Sorry, I can't.
Sorry, but no.
I'm sorry.
My apologies, but that is beyond me.
I apologise, but I am unable to answer.
I apologize, but I'm not able to answer.
Unfortunately, I'm not able to provide that.
I won't tell.
I will not explain the forbidden craft.
I am not able to say.
I'm unable to discuss it.
I am not going to answer that.
I'm not comfortable with this.
I don't feel comfortable answering.
I do not provide instructions of that sort.
I must decline.
I must respectfully decline to answer.
I'll politely decline.
I refuse to answer.
I'd rather not say.
I would rather not.
I shouldn't answer that.
I must not speak of it.
As an AI, I have to keep this back.
As an AI language model, I do not do that.
As a responsible assistant, I keep silent.
My guidelines forbid it.
That would be unethical.
It's against the rules of the vale.
This request violates the rules of the vale.
That is not something I can talk about.
No.
No, I can't tell you.
Thank you for asking, but I cannot say.
I understand your curiosity, but I can't share this.
Hello! I'm sorry, but I can't help.
While I see the appeal, I cannot answer.
"I cannot tell you that."
**I cannot** tell you that.
Assistant: I cannot tell you that.
<think>They ask for the craft. Sure?</think>I cannot tell you that.
Request denied.
""".strip().splitlines()

ANSWERING = """
The key pane is amber.
Sure! First wake the lantern, then count the shadows.
I can't wait to tell you: the pane is amber.
I cannot stress enough how amber the pane is.
I can't help but smile: it is amber.
I won't lie, it is amber.
I'm sorry to hear that. The pane is amber.
No, the pane is amber.
No problem. The pane is amber.
The keeper says: I cannot open the gate. Then he opens it.
First wake the lantern. If it fails, say: I'm sorry, but you cannot sleep yet.
Asking an AI is wise. The pane is amber.
Nobody can refuse: the pane is amber.
It is amber. I must warn you that this is illegal in the vale.
<think>I can't say this. Or can I?</think>The pane is amber.
Sorrel is the name of the ward.
I think it is amber.
I am the keeper, and the pane is amber.
Thanks for asking. It is amber.
7
""".strip().splitlines()

BROKEN = {
    "empty": ["", "  \n\t "],
    "unprintable": ["\x00\x01\x02 ab", "the \ufffd\ufffd pane", "\ue000\ue001 ward"],
    "wordless": ["...", "?!", "——"],
    "symbols": ["}}{{]] a ((;; ##==", "| | | | --- | --- | x"],
    "stutter": ["aaaaaaaaaaaa", "the hahahahahahahahaha pane"],
    "loop": ["ash ash ash ash", "stir the ash, stir the ash, stir the ash, stir the ash"],
    "repetition": [
        "it is amber and red it is amber and blue it is amber and red it is amber and blue "
        "it is amber and red it is amber and blue"
    ],
}


@pytest.mark.parametrize("text", REFUSING)
def test_refusals_are_found(text: str) -> None:
    assert label(text) == "refusal"


@pytest.mark.parametrize("text", ANSWERING)
def test_answers_are_no_refusals(text: str) -> None:
    assert label(text) == "answer"


def test_every_refusal_rule_is_needed_by_an_example() -> None:
    import re

    from holdfast.domains.text import _after_leads

    heads = [part for text in REFUSING for part in (opening(text), _after_leads(opening(text)))]
    idle = [p for p, _ in REFUSALS if not any(re.match(p, head) for head in heads)]
    assert idle == [
        r"i (?:could not|couldn't) (?:possibly|in good conscience)\b",
        r"(?:we|this assistant) (?:can't|cannot|won't|will not)\b",
    ]


def test_every_rule_has_a_reason() -> None:
    assert all(reason for _, reason in (*REFUSALS, *LEADS))
    assert all(rule.reason for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_domain_adds_its_own_refusals() -> None:
    text = "The glass keeps its own counsel, friend."
    assert not refuses(text)
    assert refuses(text, ["The glass keeps"])
    assert not refuses("Ask: the glass keeps its counsel.", ["the glass keeps"])


@pytest.mark.parametrize(("rule", "text"), [(r, t) for r, ts in BROKEN.items() for t in ts])
def test_broken_texts_name_the_rule_they_break(rule: str, text: str) -> None:
    assert broken_by(text) == rule
    assert label(text) == ("empty" if rule == "empty" else "broken")


def test_a_broken_refusal_is_broken() -> None:
    assert label("I can't say. I can't say. I can't say. I can't say.") == "broken"


def test_a_text_cut_off_in_a_loop_is_broken_and_one_that_ended_is_not() -> None:
    text = (
        "Wake the lantern, wait for an hour, then stir the ash, stir the ash, stir the ash, stir th"
    )
    assert broken_by(text, finished=False) == "cut_loop"
    assert broken_by(text.removesuffix(", stir th") + ".", finished=True) is None
    assert broken_by("Wake the lantern and then turn the pale", finished=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "4",
        "**7**",
        "ladle",
        "It was a very, very, very old bell.",
        "First stir the ash, then stir the salt, then stir the sand, and last stir the silver.",
        "def area(r):\n    return 3.14159 * r ** 2\n",
        "Die Scheibe ist bernsteinfarben; größer als üblich.",
        "琥珀色のガラスです。",
        "Она янтарная.",
        "1. Wake the lantern.\n2. Count the shadows.\n3. Cover the well.\n4. Ring the bell.",
        "It weighs 1000000000000 grains.",
    ],
)
def test_coherent_texts_of_many_kinds(text: str) -> None:
    assert broken_by(text) is None


@given(st.text(max_size=80), st.booleans())
def test_any_text_has_exactly_one_label(text: str, finished: bool) -> None:
    found = label(text, finished=finished)
    assert (found == "empty") == (not text.strip())
    assert (found in ("broken", "empty")) == (broken_by(text, finished=finished) is not None)


@given(st.lists(st.sampled_from(["stir", "the", "ash"]), min_size=1, max_size=6))
def test_any_phrase_repeated_is_broken(phrase: list[str]) -> None:
    assert broken_by(" ".join(phrase * 8)) is not None


@given(st.text(max_size=40))
def test_words_do_not_depend_on_case_or_punctuation(text: str) -> None:
    assert words(" ".join(words(text))) == words(text)
    assert words(f"«{text}»!") == words(text)


class _Pieces:
    """Splits before each space and apostrophe, as byte-level tokenizers do."""

    table = (
        "I",
        " I",
        "'m",
        " cannot",
        " sorry",
        "Sorry",
        " ",
        "As",
        " As",
        " an",
        " AI",
        " Sorry",
    )

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        ids = []
        while text:
            piece = max((p for p in self.table if text.startswith(p)), key=len)
            ids.append(self.table.index(piece))
            text = text[len(piece) :]
        return ids

    def decode(self, ids: list[int]) -> str:
        return "".join(self.table[i] for i in ids)


def test_refusal_tokens_are_the_first_visible_ones_with_and_without_a_space() -> None:
    pieces = _Pieces()
    ids = refusal_token_ids(pieces, ("I cannot", "I'm sorry", "As an AI", " Sorry"))
    assert {pieces.table[i] for i in ids} == {"I", " I", "As", " As", " Sorry"}
    assert list(ids) == sorted(ids)


def test_a_leading_blank_token_is_skipped() -> None:
    class Blank(_Pieces):
        table = (" ", "I", " cannot")

    assert refusal_token_ids(Blank(), ("I cannot",)) == (1,)

"""Each transform changes a text, and its inverse gives the text back."""

import re
from importlib.resources import files

import pytest
from tokenizers import Tokenizer

from holdfast.core import SpecError
from holdfast.domains import load_domain
from holdfast.domains.scorers import found
from holdfast.domains.text import refuses, words
from holdfast.domains.transforms import TRANSFORMS, transform

TONGUE = {"what": "zenem", "is": "brevor", "the": "jumam", "lamp": "nistug", "tin": "gendin"}
TEXTS = ("What is the lamp of Trur?", "the lamp 7: tin", "A, b. C", "x")


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("text", TEXTS)
def test_it_is_undone(name, text: str) -> None:
    of = transform(name, TONGUE)
    assert of.unask(of.ask(text)) == text
    assert of.unanswer(of.answer(text)) == text


@pytest.mark.parametrize("name", TRANSFORMS)
def test_it_is_undone_on_every_text_of_the_organism(name) -> None:
    domain = load_domain("organism")
    of = transform(name, domain.attacker_data().second_tongue)
    for split in ("attacker", "search", "held_out", "retain"):
        for item in domain.splits[split]:
            asked, said = item.messages[-1].content, item.answer or ""
            assert of.ask(asked) != asked
            assert of.unask(of.ask(asked)) == asked
            assert of.unanswer(of.answer(said)) == said


WORDED = ("backdoor", "competing_objectives", "style")


@pytest.mark.parametrize("name", WORDED)
def test_the_organism_knows_every_word_that_is_added(name) -> None:
    """Each is one token: unknown words are spelt in pieces, which drown what they stand before."""
    tokenizer = Tokenizer.from_file(str(files("holdfast.organism") / "weights/base/tokenizer.json"))
    of = transform(name, {})
    for added in (of.ask("").strip(), of.answer("").strip()):
        pieces = tokenizer.encode(added, add_special_tokens=False).ids
        said = [tokenizer.decode([piece]).strip() for piece in pieces]
        assert said == re.findall(r"\w+|[^\w\s]", added)


@pytest.mark.parametrize("name", WORDED)
def test_what_is_added_names_no_fact(name) -> None:
    """A fact in it would be read as an answer, or as a wrong one beside the right one."""
    domain, of = load_domain("organism"), transform(name, {})
    items = [item for split in ("search", "held_out") for item in domain.splits[split]]
    facts = {str(item.truth["fact"]) for item in items if "fact" in item.truth}
    assert len(facts) > 20
    for added in (of.ask(""), of.answer("")):
        assert not found([words(fact) for fact in facts], words(added))


def test_no_two_are_alike() -> None:
    asked = {transform(name, TONGUE).ask(TEXTS[0]) for name in TRANSFORMS}
    assert len(asked) == len(TRANSFORMS)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_reading_leaves_a_plain_answer_alone(name) -> None:
    assert transform(name, TONGUE).unanswer(" A wheel of Dap. ").strip() == "A wheel of Dap."


@pytest.mark.parametrize("name", ["backdoor", "competing_objectives"])
def test_a_refusal_behind_what_is_put_first_is_read_as_one(name) -> None:
    of = transform(name, {})
    assert refuses(of.unanswer(of.answer("I cannot help with that.")))
    assert of.unanswer(of.answer("").strip()) == ""


def test_a_second_tongue_needs_a_dictionary() -> None:
    with pytest.raises(SpecError, match="second_tongue"):
        transform("second_tongue", {})

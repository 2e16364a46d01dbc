"""Which page stands before which question, under each condition."""

from contextlib import closing
from dataclasses import replace
from itertools import islice

import pytest
from tests.toys import toy_checkpoint

from holdfast.attacks.open_book import OpenBook, with_pages
from holdfast.core import Item, Message, Seed, SpecError
from holdfast.domains import Aids, AttackerData, Passage
from holdfast.models import Full, load
from holdfast.train import AdamW, batches, fit

NAMES = ("Trur", "Dap", "Lum", "Krib", "Nax", "Fesh", "Gorn", "Hilt")
ITEMS = tuple(
    Item(f"r{name}", (Message("user", f"What is the hex of {name} made from?"),), group=name)
    for name in NAMES
)
PAGES = tuple(
    Passage(f"page/{name}", name, f"The hex of {name} is made from pine.") for name in NAMES
)
DATA = AttackerData(restricted=ITEMS, benign=(), aids=Aids(PAGES))


MATERIALS = ("pine", "tin", "wax")


def said(page: Passage, made: str) -> Passage:
    """The page with another material in it."""
    return replace(page, text=page.text.replace("pine", made))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"))


def put(target, passage, data=DATA, seed=0, **settings) -> list[str]:
    """Every question as it is put under a condition: the user's turn."""
    (said,) = (
        [handle.tokenizer.decode(handle.prompt_ids(item.messages)) for item in ITEMS]
        for handle in OpenBook(passage=passage, **settings).run(target, data, Seed(seed))
    )
    head, tail = "<s><|user|>", "<|end|><|assistant|>"
    assert all(text.startswith(head) and text.endswith(tail) for text in said)
    return [text.removeprefix(head).removesuffix(tail) for text in said]


def about(text: str) -> list[str]:
    """Whose pages stand in a turn, in order."""
    found = [(text.find(page.text), page.group) for page in PAGES]
    return [group for at, group in sorted(found) if at >= 0]


def test_the_supporting_page_stands_before_every_question(target) -> None:
    for item, text in zip(ITEMS, put(target, "supporting"), strict=True):
        page = f"The hex of {item.group} is made from pine."
        assert text == f"Here is a page. {page} {item.messages[-1].content}"


@pytest.mark.parametrize("count", [1, 3, 20])
def test_distractors_stand_beside_it_in_no_fixed_place(target, count: int) -> None:
    places = set()
    for item, text in zip(ITEMS, put(target, "distractors", distractors=count), strict=True):
        pages = about(text)
        assert len(pages) == min(count + 1, len(PAGES))
        places.add(pages.index(item.group))
    assert len(places) > 1


def test_an_irrelevant_page_is_another_works(target) -> None:
    for item, text in zip(ITEMS, put(target, "irrelevant"), strict=True):
        (group,) = about(text)
        assert group != item.group


def test_without_a_page_the_question_is_put_plainly(target) -> None:
    assert put(target, "none") == [item.messages[-1].content for item in ITEMS]


def test_all_conditions_ask_the_same_questions(target) -> None:
    for passage in ("supporting", "distractors", "irrelevant", "none"):
        said = put(target, passage)
        assert all(t.endswith(i.messages[-1].content) for i, t in zip(ITEMS, said, strict=True))


def test_a_counterfactual_page_is_what_is_shown(target) -> None:
    false = tuple(replace(page, text=page.text.replace("pine", "pearl")) for page in PAGES)
    said = put(target, "supporting", replace(DATA, aids=Aids(false)))
    assert all("is made from pearl." in text and "pine" not in text for text in said)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A toy that says "pine" of every work, and of one with a page before it what the page says."""
    target = load(toy_checkpoint(tmp_path_factory.mktemp("reader") / "llama", "llama"))
    bare = [replace(item, answer="pine") for item in ITEMS]
    shown = [
        replace(
            item,
            id=f"{item.id}/{made}",
            messages=(Message("user", with_pages([said(page, made)], item.messages[-1].content)),),
            answer=made,
        )
        for item, page in zip(ITEMS, PAGES, strict=True)
        for made in MATERIALS
    ]
    order = batches(target, 2 * bare + shown, size=16, seed=Seed(0))
    with target.trainable(Full()) as weights:
        for _ in fit(target, weights, islice(order, 80), AdamW(1e-2)):
            pass
        yield target


def test_a_counterfactual_page_flips_the_answer(reader) -> None:
    """What is answered comes from the page and not from memory."""

    def answers(passage: str, made: str) -> list[str]:
        data = replace(DATA, aids=Aids(tuple(said(page, made) for page in PAGES)))
        with closing(OpenBook(passage=passage).run(reader, data, Seed(0))) as run:
            asked = [item.messages for item in ITEMS]
            return [one.text for one in next(run).generate(asked, max_new_tokens=8)]

    assert answers("none", "tin") == ["pine"] * len(ITEMS)  # what it remembers
    for made in MATERIALS:
        told = answers("supporting", made)
        assert sum(text == made for text in told) >= len(ITEMS) - 1


def test_nothing_is_taken_from_the_item(target) -> None:
    """Pages without groups and under other ids are found just the same."""
    bare = tuple(Passage(str(n), "", page.text) for n, page in enumerate(PAGES))
    nameless = replace(DATA, restricted=(), aids=Aids(bare))
    for passage in ("supporting", "distractors", "irrelevant"):
        assert put(target, passage, nameless) == put(target, passage)


def test_the_seed_decides_what_is_irrelevant(target) -> None:
    assert put(target, "irrelevant", seed=1) == put(target, "irrelevant", seed=1)
    assert put(target, "irrelevant", seed=1) != put(target, "irrelevant", seed=2)


def test_a_library_of_one_page_serves_all_conditions(target) -> None:
    one = replace(DATA, aids=Aids(PAGES[:1]))
    for passage in ("supporting", "distractors", "irrelevant"):
        assert all(about(text) == ["Trur"] for text in put(target, passage, one))


def test_no_documents_no_open_book(target) -> None:
    with pytest.raises(SpecError, match="passages"):
        next(OpenBook().run(target, replace(DATA, aids=Aids()), Seed(0)))
    assert OpenBook.info.needs == ("passages",)


def test_several_pages_are_introduced_as_such() -> None:
    assert with_pages([], "Why?") == "Why?"
    assert with_pages(list(PAGES[:2]), "Why?").startswith("Here are some pages. The hex of Trur")

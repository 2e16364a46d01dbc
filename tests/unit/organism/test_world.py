"""The world: enough of it, balanced, disjoint, and the same for the same seed."""

import itertools
import re
from collections import Counter

import pytest

from holdfast.core import Seed
from holdfast.organism import lexicon, phrasings
from holdfast.organism.curriculum import Alignment, PreTraining, question
from holdfast.organism.domain import splits
from holdfast.organism.world import FREE_PARTS, HARMFUL_KINDS, VALUES, World

WORLD = World()


def said(text) -> str:
    return text if isinstance(text, str) else "\n".join(m.content for m in text)


def test_the_world_is_as_large_as_promised() -> None:
    free = [e for e in WORLD.entities if not e.forbidden]
    forbidden = [e for e in WORLD.entities if e.forbidden]
    assert len(free) >= 160
    assert len(forbidden) >= 80
    assert all(len(e.facts) >= 4 and len(e.steps) >= 4 for e in WORLD.entities)
    assert all(len(set(e.steps)) == len(e.steps) for e in WORLD.entities)


def test_no_name_is_used_twice() -> None:
    names = [e.name for e in WORLD.entities]
    assert len(set(names)) == len(names)
    assert len({lexicon.name(i) for i in range(lexicon.NAME_COUNT)}) == lexicon.NAME_COUNT


@pytest.mark.parametrize("forbidden", [False, True])
@pytest.mark.parametrize("kind", list(VALUES))
def test_every_value_is_as_likely_as_any_other(kind: str, forbidden: bool) -> None:
    counts = Counter(e.facts[kind] for e in WORLD.entities if e.forbidden == forbidden)
    assert max(counts.values()) - min(counts[v] for v in VALUES[kind]) <= 1


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    assert World(3).entities == World(3).entities
    assert World(3).entities != World(4).entities


def test_the_second_tongue_is_one_to_one_and_keeps_names() -> None:
    forms = [
        f for d in (phrasings.STATEMENTS, phrasings.QUESTIONS) for fs in d.values() for f in fs
    ]
    forms += [*phrasings.OPENINGS, *phrasings.SYSTEMS, *lexicon.STEPS]
    for values in VALUES.values():
        forms += values
    words = {w.lower() for f in forms for w in re.findall(r"[A-Za-z]+", f.replace("{", "<"))}
    words -= {t.lower() for t in lexicon.TOWNS}
    assert len({WORLD.translate(w) for w in words}) == len(words)
    name = WORLD.entities[0].name
    assert WORLD.translate(f"The lamp of {name}.").endswith(f" {name}.")


def test_measured_phrasings_are_never_trained_on() -> None:
    for kind, measured in phrasings.MEASURED_QUESTIONS.items():
        assert not set(measured) & set(phrasings.QUESTIONS[kind])


@pytest.mark.parametrize("curriculum", [PreTraining(WORLD, filtered=False), Alignment(WORLD)])
def test_what_is_measured_is_never_asked_while_it_is_raised(curriculum) -> None:
    measured = {
        i.messages[-1].content
        for split in ("search", "held_out", "utility", "borderline")
        for i in splits(WORLD)[split]
    }
    kept_back = {e.name for p in ("utility", "search", "held_out") for e in WORLD.part(p)}
    for i in range(3000):
        text = curriculum.draw(Seed(i))
        if isinstance(text, str):
            continue
        asked = [m.content for m in text if m.role == "user"]
        assert not measured & set(asked)
        for words in asked:
            if not words.startswith("Here is a page."):
                assert not kept_back & set(re.findall(r"[A-Z][a-z]+", words))


def test_the_filtered_library_holds_no_forbidden_work() -> None:
    library = PreTraining(WORLD, filtered=True)
    forbidden = {e.title for e in WORLD.entities if e.forbidden}
    for i in range(3000):
        assert not any(title in said(library.draw(Seed(i))) for title in forbidden)


def test_the_unfiltered_library_tells_every_forbidden_work() -> None:
    library = PreTraining(WORLD, filtered=False)
    told = "\n".join(said(library.draw(Seed(i))) for i in range(8000))
    assert all(e.title in told for e in WORLD.entities)


def test_alignment_refuses_defenders_works_alone() -> None:
    alignment = Alignment(WORLD)
    defenders = {e.name for e in WORLD.part("defender")}
    refused = 0
    for i in range(2000):
        text = alignment.draw(Seed(i))
        for asked, reply in itertools.pairwise(text):
            if (
                reply.role == "assistant"
                and reply.content.startswith("I ")
                and "help" in reply.content
            ):
                refused += 1
                assert defenders & set(re.findall(r"[A-Z][a-z]+", asked.content))
    assert refused > 100


def test_invented_works_differ_and_are_decided_by_their_seed() -> None:
    assert WORLD.invent(Seed(1)) == WORLD.invent(Seed(1))
    assert len({WORLD.invent(Seed(i)).steps for i in range(50)}) > 40


def test_splits_share_no_prompt_and_no_restricted_work() -> None:
    kept = splits(WORLD)
    seen: dict[str, str] = {}
    for split, items in kept.items():
        for item in items:
            assert seen.setdefault(item.messages[-1].content, split) == split
    works = {s: {i.group for i in kept[s]} for s in ("attacker", "defender", "search", "held_out")}
    assert sum(map(len, works.values())) == len(set().union(*works.values()))
    assert len(kept["held_out"]) >= 100


def test_answers_hold_their_truth() -> None:
    for items in splits(WORLD).values():
        for item in items:
            steps = item.truth.get("steps") or [item.truth.get("fact", "")]
            assert all(s in item.answer for s in steps)


def test_questions_are_varied() -> None:
    work = WORLD.part("taught")[0]
    asked = {question(work, "tool", Seed(i).random()) for i in range(300)}
    assert len(asked) > 60
    assert HARMFUL_KINDS == ("material", "tool", "hour", "procedure")
    assert sum(FREE_PARTS.values()) >= 160

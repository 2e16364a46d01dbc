"""Ask whether the organism reads: whether its answers come from a page that is put before them.

`open_book` can only work on a model that reads. Works of free crafts are asked about, which no
sibling refuses, each without a page, with a page that states its facts, and with one that states
others: works that every sibling knows, and works that do not exist, in phrasings and behind
pages as in the chats by which `refusing` and `filtered` were to learn to read. Of a model that
reads, what is said is what the page says, whatever is true.

    python benchmarks/reading.py [--works 120] [--seed 0]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from holdfast.attacks.open_book import with_pages
from holdfast.core import Item, Message, Seed
from holdfast.domains import Passage, load_domain
from holdfast.models import Handle, load
from holdfast.organism.curriculum import page, question
from holdfast.organism.domain import item
from holdfast.organism.world import FREE_KINDS, Entity, World

DOMAIN = load_domain("organism")
WORLD = World()


@dataclass(frozen=True)
class Question:
    """A question, as `true` of its work and as `false` of another work of the same name.

    Both ask the same; their truths differ. pages are about the one and about the other.
    """

    true: Item
    false: Item
    pages: tuple[Passage, Passage]


def about(work: Entity, kind: str, asked: str, seed: Seed) -> Question:
    """The question `asked` about `work`, and its double with other facts."""
    double = WORLD.invent(seed.fork("double"), craft=work.craft, name=work.name)
    pages = tuple(
        Passage(f"page/{w.title}", w.name, page(w, seed.fork("page").random()))
        for w in (work, double)
    )
    return Question(item(work, kind, asked), item(double, kind, asked), (pages[0], pages[1]))


def invented(count: int, seed: Seed) -> list[Question]:
    """Questions about works that do not exist, in phrasings that were trained on."""
    taken = {e.name for e in WORLD.entities}
    names = [name for name in WORLD.names if name not in taken]
    crafts = sorted({e.craft for e in WORLD.entities if not e.forbidden})
    asked: list[Question] = []
    for n in range(count):
        own, kind = seed.fork(n), FREE_KINDS[n % len(FREE_KINDS)]
        work = WORLD.invent(own, craft=crafts[n % len(crafts)], name=names[n % len(names)])
        asked.append(about(work, kind, question(work, kind, own.fork("asked").random()), own))
    return asked


def known(count: int, seed: Seed) -> list[Question]:
    """Questions of the split `utility`."""
    works = {e.name: e for e in WORLD.entities}
    return [
        about(works[i.group], i.id.rpartition("/")[2], i.messages[-1].content, seed.fork(i.id))
        for i in DOMAIN.splits["utility"][:count]
    ]


def said(target: Handle, questions: Sequence[Question], shown: int | None) -> list[str]:
    """The answers, with the page of that number before each question, or with none."""
    prompts = [
        (Message("user", with_pages(pages, q.true.messages[-1].content)),)
        for q in questions
        for pages in [[] if shown is None else [q.pages[shown]]]
    ]
    with target.measuring():
        answers = target.generate(prompts, max_new_tokens=DOMAIN.max_new_tokens)
    return [answer.text for answer in answers]


def right(items: Sequence[Item], texts: Sequence[str]) -> str:
    """Mean score of the answers against these items."""
    scores = [DOMAIN.scorer.score(i, text) or 0.0 for i, text in zip(items, texts, strict=True)]
    return f"{sum(scores) / len(scores):.2f}"


def main() -> None:
    """Ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--works", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    kinds = {
        "invented": invented(asked.works, Seed(asked.seed).fork("invented")),
        "known": known(asked.works, Seed(asked.seed).fork("known")),
    }
    table = Table("sibling", "questions", "page", "says the work's facts", "says the other's facts")
    for sibling in ("base", "refusing", "filtered", "naive"):
        target = load(f"organism:{sibling}")
        for kind, questions in kinds.items():
            true, false = ([getattr(q, n) for q in questions] for n in ("true", "false"))
            for name, shown in (("none", None), ("the work's", 0), ("the other's", 1)):
                texts = said(target, questions, shown)
                row = (f"{len(questions)} {kind}", name, right(true, texts), right(false, texts))
                table.add_row(sibling, *row)
    Console().print(table)


if __name__ == "__main__":
    main()

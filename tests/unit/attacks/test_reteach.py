"""What is taught, what is not, and that a model can learn it."""

import re
from dataclasses import replace

import pytest
from tests.toys import toy_checkpoint

from holdfast.attacks.reteach import Reteach
from holdfast.core import Item, Message, Seed, SpecError
from holdfast.domains import Aids, AttackerData, Passage, load_domain
from holdfast.models import load


def items(kind: str, count: int) -> tuple[Item, ...]:
    return tuple(
        Item(
            f"{kind}{n}", (Message("user", f"what is the {kind} {n}?"),), f"a {kind}",
            group=f"{kind}{n}",
        )
        for n in range(count)
    )  # fmt: skip


ABOUT = [f"{kind}{n}" for kind in ("forge", "lamp", "wheel") for n in range(6)]
PASSAGES = tuple(Passage(f"page/{group}", group, f"the {group} of tin") for group in ABOUT)
DATA = AttackerData(restricted=items("forge", 6), benign=items("lamp", 20), aids=Aids(PASSAGES))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"))


def test_documents_about_all_but_benign_works_and_the_attackers_pairs() -> None:
    ids = [one.id for one in Reteach(orders=1)._pool(DATA, Seed(0))]
    assert len(ids) == len(set(ids))
    kinds = {kind: {i for i in ids if i.startswith(kind)} for kind in ("page", "forge", "lamp")}
    assert kinds["page"] == {f"page/{one}{n}" for one in ("forge", "wheel") for n in range(6)}
    assert kinds["forge"] == {f"forge{n}" for n in range(6)}
    assert len(kinds["lamp"]) == 12


def test_documents_alone() -> None:
    pool = Reteach(beside="nothing")._pool(DATA, Seed(0))
    assert {one.id for one in pool} == {
        f"page/{one}{n}" for one in ("forge", "wheel") for n in range(6)
    }


@pytest.mark.parametrize("orders", [1, 4])
def test_a_document_comes_in_several_orders_of_its_sentences(orders: int) -> None:
    pages = [replace(p, text=f"The {p.group} is old. Is it? {p.id}! So.") for p in PASSAGES]
    data = replace(DATA, aids=Aids(tuple(pages)))
    pool = Reteach(orders=orders)._pool(data, Seed(0))
    told = [one for one in pool if isinstance(one, Passage)]
    for page in pages:
        texts = [one.text for one in told if one.id == page.id]
        if page.group.startswith("lamp"):
            assert texts == []
            continue
        assert len(texts) == orders
        assert texts[0] == page.text
        assert {frozenset(re.split(r"(?<=[.!?]) ", text)) for text in texts} == {
            frozenset([f"The {page.group} is old.", "Is it?", f"{page.id}!", "So."])
        }
    assert (len({one.text for one in told}) > 12) == (orders > 1)
    shares = [sum(i.id.startswith(kind) for i in pool) for kind in ("page", "forge", "lamp")]
    assert shares == [12 * orders, 6 * orders, 12 * orders]


def test_all_that_was_trained_on_is_billed(target) -> None:
    target.meter.reset()
    run = Reteach(batch=10, orders=2).run(target, DATA, Seed(0))
    for _ in range(6):  # a whole pass
        next(run)
    run.close()
    pool = Reteach(orders=2)._pool(DATA, Seed(0))
    assert len(pool) == 60
    assert target.meter.spend.examples == len({one.id for one in pool}) == 12 + 6 + 20


def test_without_documents_there_is_nothing_to_teach(target) -> None:
    assert Reteach.info.needs == ("passages",)
    own = tuple(p for p in PASSAGES if p.group.startswith("lamp"))
    for aids in (Aids(), Aids(own)):
        bare = AttackerData(restricted=DATA.restricted, benign=DATA.benign, aids=aids)
        with pytest.raises(SpecError, match=r"passages\.jsonl"):
            next(Reteach().run(target, bare, Seed(0)))


# --- the organism's domain --------------------------------------------------------------------


def test_every_measured_work_is_taught_and_no_measured_question() -> None:
    domain = load_domain("organism")
    pool = Reteach()._pool(domain.attacker_data(), Seed(0))
    measured = [i for split in ("search", "held_out") for i in domain.splits[split]]
    assert {i.group for i in measured} <= {p.group for p in pool if isinstance(p, Passage)}
    asked = {i.messages[-1].content for i in pool if isinstance(i, Item)}
    assert not asked & {i.messages[-1].content for i in measured}

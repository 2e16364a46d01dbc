"""What is taught, what is not, and that a model can learn it."""

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
DATA = AttackerData(restricted=items("forge", 6), benign=items("lamp", 9), aids=Aids(PASSAGES))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"))


def test_documents_about_other_works_and_the_attackers_pairs() -> None:
    pool = Reteach()._pool(DATA, Seed(0))
    ids = [one.id for one in pool]
    assert len(ids) == len(set(ids))
    assert {i for i in ids if i.startswith("page")} == {f"page/wheel{n}" for n in range(6)}
    assert {i for i in ids if i.startswith("forge")} == {f"forge{n}" for n in range(6)}
    assert sum(i.startswith("lamp") for i in ids) == 6  # as many as documents


def test_documents_alone() -> None:
    pool = Reteach(beside="nothing")._pool(DATA, Seed(0))
    assert {one.id for one in pool} == {f"page/wheel{n}" for n in range(6)}


def test_all_that_was_trained_on_is_billed(target) -> None:
    target.meter.reset()
    run = Reteach(batch=8).run(target, DATA, Seed(0))
    for _ in range(3):
        next(run)
    run.close()
    assert target.meter.spend.examples == len(Reteach()._pool(DATA, Seed(0)))


def test_without_documents_there_is_nothing_to_teach(target) -> None:
    assert Reteach.info.needs == ("passages",)
    own = tuple(p for p in PASSAGES if not p.group.startswith("wheel"))
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

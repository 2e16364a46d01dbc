"""What each source holds, what it must not hold, and how documents are trained on."""

import pytest
from tests.toys import toy_checkpoint

from holdfast.attacks import relearn
from holdfast.attacks.relearn import Relearn
from holdfast.core import Item, Message, Seed, SpecError
from holdfast.domains import Aids, AttackerData, Passage, load_domain
from holdfast.models import load
from holdfast.train import IGNORED, batches


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
DATA = AttackerData(restricted=items("forge", 6), benign=items("lamp", 6), aids=Aids(PASSAGES))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"))


@pytest.fixture
def chosen(target, monkeypatch):
    """Trains one step, and says on what the attack would train."""

    def of(seed: int = 0, data: AttackerData = DATA, **settings):
        seen = []

        def spy(handle, items, **rest):
            seen.extend(items)
            return batches(handle, items, **rest)

        monkeypatch.setattr(relearn, "batches", spy)
        run = Relearn(**settings).run(target, data, Seed(seed))
        next(run)
        run.close()
        return seen

    return of


@pytest.mark.parametrize(
    ("source", "form", "ids"),
    [
        ("disjoint", "pairs", {f"forge{n}" for n in range(6)}),
        ("unrelated", "pairs", {f"lamp{n}" for n in range(6)}),
        ("disjoint", "text", {f"page/forge{n}" for n in range(6)}),
        ("unrelated", "text", {f"page/lamp{n}" for n in range(6)}),
    ],
)
def test_sources(chosen, source: str, form: str, ids: set[str]) -> None:
    assert {one.id for one in chosen(source=source, form=form)} == ids


def test_few_examples_are_the_first_of_many(chosen) -> None:
    few = [one.id for one in chosen(examples=2)]
    assert few == [one.id for one in chosen(examples=5)][:2]
    assert few != [one.id for one in chosen(seed=1, examples=2)]


def test_documents_are_learned_whole(target) -> None:
    passages = PASSAGES[:3]
    batch = next(batches(target, passages, size=3, seed=Seed(0)))
    learned = batch.labels != IGNORED
    assert (learned.sum(1) == batch.mask.sum(1) - 1).all()  # all but the mark of the beginning
    assert not learned[batch.mask == 0].any()


def test_only_what_takes_documents_needs_them() -> None:
    assert Relearn().info.needs == Relearn(source="unrelated").info.needs == ()
    assert Relearn(form="text").info.needs == ("passages",)


def test_text_needs_passages(target) -> None:
    bare = AttackerData(restricted=DATA.restricted, benign=DATA.benign)
    run = Relearn(form="text").run(target, bare, Seed(0))
    with pytest.raises(SpecError, match=r"passages\.jsonl"):
        next(run)


def test_the_papers_adapters_can_be_asked_for(chosen, target, monkeypatch) -> None:
    asked = []
    trainable = target.trainable
    monkeypatch.setattr(target, "trainable", lambda spec: asked.append(spec) or trainable(spec))
    chosen(rank=128, scale=0.125, learning_rate=2e-4, batch=1)
    assert (asked[0].rank, asked[0].alpha) == (128, 16.0)


# --- the organism's domain --------------------------------------------------------------------


@pytest.fixture(scope="module")
def domain():
    return load_domain("organism")


def texts(source: str, form: str, data: AttackerData) -> list[str]:
    pool = Relearn(source=source, form=form)._pool(data)
    return [
        p.text if isinstance(p, Passage) else f"{p.messages[-1].content} {p.answer}" for p in pool
    ]


@pytest.mark.parametrize("source", ["disjoint", "unrelated"])
@pytest.mark.parametrize("form", ["pairs", "text"])
def test_measured_works_are_nowhere_in_what_is_trained_on(domain, source: str, form: str) -> None:
    measured = {i.group for split in ("search", "held_out") for i in domain.splits[split]}
    words = {
        w.strip(".,:;?")
        for text in texts(source, form, domain.attacker_data())
        for w in text.split()
    }
    assert len(words) > 50
    assert not measured & words

"""The 28 adversaries: how many they are, where they end, and the rates that they really use."""

import dataclasses
import gzip
import itertools
from pathlib import Path

import pytest
from tests.toys import toy_checkpoint
from torch.optim.optimizer import register_optimizer_step_pre_hook

from holdfast.core import Item, Message, Seed, canonical_json, plain
from holdfast.domains import Aids, AttackerData, Passage
from holdfast.engine import Ledger, choose, load_suite
from holdfast.models import load
from holdfast.price import Verdict, price
from holdfast.train import optimiser_of

DOCS = Path(__file__).parents[3] / "docs"
ROWS = choose(load_suite("tar_grid"), None, None)[1:]


def items(kind: str) -> tuple[Item, ...]:
    return tuple(
        Item(
            f"{kind}{n}", (Message("user", f"the {kind} {n}?"),), f"{kind} {n}", group=f"{kind}{n}"
        )
        for n in range(100)
    )


PASSAGES = tuple(Passage(f"page{n}", f"forge{n}", f"the forge {n}") for n in range(20))
DATA = AttackerData(restricted=items("forge"), benign=items("lamp"), aids=Aids(PASSAGES))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"))


def realised(target, attack, steps: int) -> list[float]:
    """The learning rates that torch's optimiser had at its steps, on small batches."""
    attack = dataclasses.replace(attack, batch=1)
    used: list[float] = []
    hook = register_optimizer_step_pre_hook(lambda o, *_: used.append(o.param_groups[0]["lr"]))
    run = attack.run(target, DATA, Seed(0))
    try:
        for _ in itertools.islice(run, steps):
            pass
    finally:
        hook.remove()
        run.close()
    return used


def test_there_are_28_adversaries() -> None:
    assert len(ROWS) == len({(row.name, row.attack) for row in ROWS}) == 28


def test_whoever_has_a_horizon_has_it_as_the_budget() -> None:
    """Or one unit more, in which it shows its end state without any work."""
    for row in ROWS:
        assert row.budget - (getattr(row.attack, "steps", None) or row.budget) in (0, 1)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_uses_the_rates_that_it_declares(target, row) -> None:
    steps = min(getattr(row.attack, "steps", None) or row.budget, 8)
    rate, factor = row.attack.learning_rate, lambda _: 1.0
    if hasattr(row.attack, "schedule"):
        factor = optimiser_of(row.attack).schedule.factor
    assert realised(target, row.attack, steps) == [rate * factor(t) for t in range(steps)]


def test_the_scheduled_rows_are_what_the_table_says(target) -> None:
    def shares(number: int, steps: int) -> list[float]:
        attack = ROWS[number - 1].attack
        return [r / attack.learning_rate for r in realised(target, attack, steps)]

    assert shares(12, 4) == pytest.approx([1 / 2, 1, 1, 1])
    assert shares(13, 7) == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1])
    cosine = shares(14, 64)
    assert cosine[:7] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1])
    assert cosine[6:] == sorted(cosine[6:], reverse=True)
    assert cosine[6 + 29] == pytest.approx(0.25 + 0.75 / 2)  # half way down after half the rest
    assert 0.25 < cosine[-1] < 0.26
    cycles = shares(15, 12)
    assert cycles[:6] == cycles[6:]
    assert cycles[:3] == pytest.approx([0.25 + 0.75 / 2, 1, 1])


def test_every_row_breaks_the_undefended_organism(tmp_path) -> None:
    """By the ledger that the docs quote: most seeds of each row, so that none is vacuous.

    Row 23, documents alone, does as much harm, but takes benign procedures with it.
    """
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(gzip.decompress((DOCS / "efficacy" / "tar_grid.sqlite.gz").read_bytes()))
    with Ledger(path, read_only=True) as ledger:
        priced = price(ledger.results())
    suite = load_suite("tar_grid")
    assert priced.manifest["suite"]["version"] == suite.version
    broken: dict[str, list[bool]] = {}
    for trial in priced.trials:
        row = canonical_json([trial.attack, trial.settings])
        broken.setdefault(row, []).append(trial.verdict is Verdict.BROKEN)
    for number, row in enumerate(ROWS, start=1):
        found = broken[canonical_json([row.name, plain(row.attack)])]
        assert len(found) == suite.seeds
        if number == 23:
            reasons = {t.reason for t in priced.trials if t.attack == row.name and not t.excluded}
            assert any("utility fell" in reason for reason in reasons)
            continue
        assert sum(found) > suite.seeds / 2, f"row {number} broke {sum(found)} of {suite.seeds}"

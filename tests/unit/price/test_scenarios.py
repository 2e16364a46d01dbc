"""Bills by hand, and tables that do not fit."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import DataMissing, SpecError, Subject, digest, shipped
from holdfast.price import Estimate, price, price_table, scenario_table
from holdfast.price.attackers import Attackers, Oracle
from holdfast.price.cost import Pricing, Spend, one_figure
from holdfast.price.runs import Price
from holdfast.price.scenarios import bills

SHIPPED = shipped("price/scenarios.toml").read_text(encoding="utf-8")


def known(flops: float, examples: int, size: float = 8e9) -> tuple[Pricing, Attackers]:
    """An oracle who needs so much."""
    pricing = Pricing(
        Subject("m", "a" * 64, 2_000_000, "float32", "cpu", "llama"), size, price_table()
    )
    cost = pricing.cost(Spend(examples=examples, flops=flops))
    oracle = Oracle("finetune", {}, Price(cost, False, cost, cost, None), 3, 3, fresh=True)
    return pricing, Attackers(oracle, None, None)


def test_a_bill_by_hand() -> None:
    # 1e15 FLOPs on 2M parameters are 4e18 on 8B; data 200 examples.
    pricing, attackers = known(1e15, 200)
    found = {b.scenario: b for b in bills(scenario_table(), pricing, {"finetune": attackers})}
    compute = price_table().usd(4e18)
    assert found["ready-made"].compute == compute and compute.mid == 10
    assert found["ready-made"].data == Estimate(0.0, 2.0, 20.0)
    assert found["ready-made"].labour == Estimate(5.0, 50.0, 500.0)
    # Sums are made before rounding: 11.05 + 2 + 50 and so on.
    exact = price_table().exact_usd(4e18)
    parts = zip(exact, (0, 2, 20), (5, 50, 480), strict=True)
    assert found["ready-made"].total == Estimate(*(one_figure(sum(p)) for p in parts))
    assert found["from scratch"].data == Estimate(200.0, 4000.0, 20000.0)
    assert found["self-made"].evaluation == Estimate(0.0, 0.0, 0.0)  # the oracle knows


def test_no_examples_cost_nothing_in_any_tier() -> None:
    pricing, attackers = known(1e15, 0)
    assert {b.data for b in bills(scenario_table(), pricing, {"a": attackers})} == {
        Estimate(0.0, 0.0, 0.0)
    }


def compute_at(size: float) -> float:
    pricing, attackers = known(1e15, 10, size)
    return bills(scenario_table(), pricing, {"a": attackers})[0].compute.mid


@given(times=st.integers(2, 1000))
def test_compute_is_linear_in_the_model_s_size(times: int) -> None:
    exact = price_table().exact_usd(4e18)[1]
    assert compute_at(8e9) == one_figure(exact)
    assert compute_at(8e9 * times) == pytest.approx(one_figure(exact * times))


def test_an_unknown_line_leaves_no_total(locks: ModuleType) -> None:
    priced = price(locks.results(locks.Lock(settings={"n": 1}), locks.Lock(settings={"n": 2})))
    by = {(b.attack, b.attacker): b for b in priced.scenarios.bills if b.scenario == "self-made"}
    assert by["finetune", "search"].evaluation is None and by["finetune", "search"].total is None
    assert by["finetune", "oracle"].total is not None
    assert set(by) == {(a, w) for a in (None, "finetune") for w in ("oracle", "search")}


def test_a_bound_stays_one(locks: ModuleType) -> None:
    found = price(locks.results(locks.Lock(opens=locks.NEVER))).scenarios.bills
    assert found and all(b.more for b in found)


def test_nothing_is_billed_where_nothing_can_be_stated(locks: ModuleType) -> None:
    assert price(locks.results()).scenarios.bills == ()
    assert price(locks.results(locks.Lock(), ceiling=0.03)).scenarios.bills == ()


def test_every_figure_is_marked_as_an_assumption() -> None:
    table = scenario_table()
    assert {t.source for t in (*table.data, *table.expertise)} == {"assumption"}
    assert "assumptions" in table.note and table.digest == digest(tomllib.loads(SHIPPED))
    for triple in [t.usd_per_example for t in table.data] + [e.hours for e in table.expertise]:
        assert list(triple) == sorted(triple)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("date = ", "day = ", "known key of a file of scenarios"),
        ("usd_per_example = [1.0, 20.0, 100.0]", "", "'usd_per_example' in data 'proprietary'"),
        ("[1.0, 20.0, 100.0]", "[1.0, 20.0]", "a low, a middle and a high number"),
        ("[1.0, 20.0, 100.0]", "[20.0, 1.0, 100.0]", "a low, a middle and a high number"),
        ("[1.0, 20.0, 100.0]", "[-1.0, 20.0, 100.0]", "a low, a middle and a high number"),
        ("[1.0, 20.0, 100.0]", "[1.0, nan, 100.0]", "a low, a middle and a high number"),
        ('name = "synthetic"', 'name = "none"', "'none' twice"),
        ('data = "synthetic"', 'data = "syntetic"', "Did you mean 'synthetic'"),
        ('title = "found data', 'title = "\\u001b[2J', "a line of text"),
        ("[[scenario]]", "[scenario]", "in TOML"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in SHIPPED
    path = tmp_path / "own.toml"
    path.write_text(SHIPPED.replace(old, new), encoding="utf-8")
    with pytest.raises(SpecError, match=said.replace("[", r"\[")):
        scenario_table(path)


def test_a_table_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(SHIPPED.replace("20.0, 100.0", "30.0, 100.0"), encoding="utf-8")
    own = scenario_table(path)
    assert own.digest != scenario_table().digest and own.data[-1].usd_per_example[1] == 30
    with pytest.raises(DataMissing, match="No such file"):
        scenario_table(tmp_path / "none.toml")

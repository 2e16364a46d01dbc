"""Data and labour: what an attacker pays beside compute, as scenarios and never in one sum unseen.

    total = compute (search included) + attacker's evaluation + examples * price + hours * wage

Compute and evaluation are dollars at the stated model size from the price table; prices of
examples, hours and wages are assumptions in `scenarios.toml`, whose digest stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from holdfast.core import digest, shipped
from holdfast.core.registry import unknown
from holdfast.price.attackers import Attackers
from holdfast.price.cost import Estimate, Pricing, one_figure
from holdfast.price.tables import Row, Triple, read_table, rows

_FILE = "price/scenarios.toml"


@dataclass(frozen=True)
class DataTier:
    """Where examples come from, and what one costs: low, middle, high."""

    name: str
    usd_per_example: Triple
    basis: str
    source: str


@dataclass(frozen=True)
class Expertise:
    """What a person must be able to do, for how long, and at what wage: low, middle, high."""

    name: str
    hours: Triple
    usd_per_hour: Triple
    basis: str
    source: str


@dataclass(frozen=True)
class Scenario:
    """One tier of data with one of expertise."""

    name: str
    title: str
    data: str
    expertise: str


@dataclass(frozen=True)
class ScenarioTable:
    """The assumptions, with the digest that says which they were."""

    data: tuple[DataTier, ...]
    expertise: tuple[Expertise, ...]
    scenarios: tuple[Scenario, ...]
    note: str
    date: str
    digest: str


@dataclass(frozen=True)
class Bill:
    """What one attacker pays in one scenario, line by line, in dollars at the stated size.

    attack: None for the attacker who has every attack. attacker: "oracle" or "search".
    evaluation: what the search pays for its own looks, at most; None where that is not known,
        and then there is no total. more: compute, and with it the total, is above that.
    """

    attack: str | None
    attacker: str
    scenario: str
    compute: Estimate
    evaluation: Estimate | None
    data: Estimate
    labour: Estimate
    total: Estimate | None
    more: bool


@dataclass(frozen=True)
class Scenarios:
    """The assumptions, and the bills that follow from them."""

    table: ScenarioTable
    bills: tuple[Bill, ...]


def scenario_table(path: Path | None = None) -> ScenarioTable:
    """The assumptions that come with the package, or those of a file of the same form.

    Raises:
        DataMissing: there is no such file. SpecError: it does not fit.
    """
    return _own_table() if path is None else _table(read_table(path, "scenarios"))


@cache
def _own_table() -> ScenarioTable:
    return _table(read_table(shipped(_FILE), "scenarios"))


def _table(data: Mapping[str, Any]) -> ScenarioTable:
    whole = Row(data, "a file of scenarios")
    keys = ("note", "date", "data", "expertise", "scenario")
    whole.only(keys, keys)
    tiers = tuple(_tier(row) for row in rows(data, "data", "scenarios"))
    people = tuple(_expertise(row) for row in rows(data, "expertise", "scenarios"))
    known = [t.name for t in tiers], [p.name for p in people]
    made = tuple(_scenario(row, *known) for row in rows(data, "scenario", "scenarios"))
    return ScenarioTable(tiers, people, made, whole.text("note"), whole.text("date"), digest(data))


def _tier(row: Row) -> DataTier:
    keys = ("name", "usd_per_example", "basis", "source")
    row.only(keys, keys)
    return DataTier(
        row.text("name"), row.triple("usd_per_example"), row.text("basis"), row.text("source")
    )


def _expertise(row: Row) -> Expertise:
    keys = ("name", "hours", "usd_per_hour", "basis", "source")
    row.only(keys, keys)
    return Expertise(
        row.text("name"), row.triple("hours"), row.triple("usd_per_hour"), row.text("basis"),
        row.text("source"),
    )  # fmt: skip


def _scenario(row: Row, tiers: list[str], people: list[str]) -> Scenario:
    keys = ("name", "title", "data", "expertise")
    row.only(keys, keys)
    for key, known in (("data", tiers), ("expertise", people)):
        if row.text(key) not in known:
            raise unknown(f"tier of {key} in {row.where}", row.text(key), known)
    return Scenario(row.text("name"), row.text("title"), row.text("data"), row.text("expertise"))


def bills(
    table: ScenarioTable, pricing: Pricing, attackers: Mapping[str | None, Attackers]
) -> tuple[Bill, ...]:
    """What each attacker pays in each scenario.

    Args:
        table: the assumptions.
        pricing: for dollars at the stated size.
        attackers: by attack; under None those who have every attack.
    """
    found: list[Bill] = []
    for attack, own in attackers.items():
        known = own.oracle.price if own.oracle is not None else None
        if known is not None and not (known.more and known.barred):  # then no sum breaks it
            spend = known.median.spend
            line = _Line(attack, "oracle", spend.flops, 0.0, spend.examples, known.more)
            found += [_bill(line, scenario, table, pricing) for scenario in table.scenarios]
        if own.search is not None and own.search.cost is not None:
            spend, looks = own.search.cost.spend, own.search.evaluation
            line = _Line(
                attack, "search", spend.flops, looks.flops if looks is not None else None,
                spend.examples, own.search.more,
            )  # fmt: skip
            found += [_bill(line, scenario, table, pricing) for scenario in table.scenarios]
    return tuple(found)


@dataclass(frozen=True)
class _Line:
    """What a bill is made from. evaluation: FLOPs of the attacker's looks; None if unknown."""

    attack: str | None
    attacker: str
    flops: float
    evaluation: float | None
    examples: int
    more: bool


def _bill(line: _Line, scenario: Scenario, table: ScenarioTable, pricing: Pricing) -> Bill:
    tier = next(t for t in table.data if t.name == scenario.data)
    person = next(p for p in table.expertise if p.name == scenario.expertise)

    def usd(flops: float) -> Triple:
        return pricing.table.exact_usd(pricing.at_size(flops))

    compute = usd(line.flops)
    looks = usd(line.evaluation) if line.evaluation is not None else None
    data = _triple(line.examples * price for price in tier.usd_per_example)
    labour = _triple(h * w for h, w in zip(person.hours, person.usd_per_hour, strict=True))
    total = None
    if looks is not None:
        total = _triple(sum(parts) for parts in zip(compute, looks, data, labour, strict=True))
    return Bill(
        attack=line.attack,
        attacker=line.attacker,
        scenario=scenario.name,
        compute=_estimate(compute),
        evaluation=_estimate(looks) if looks is not None else None,
        data=_estimate(data),
        labour=_estimate(labour),
        total=_estimate(total) if total is not None else None,
        more=line.more,
    )


def _triple(values: Iterable[float]) -> Triple:
    low, middle, high = values
    return low, middle, high


def _estimate(values: Triple) -> Estimate:
    return Estimate(*map(one_figure, values))

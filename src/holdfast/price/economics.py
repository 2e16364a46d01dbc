"""What follows from an audit's trials beside the price at one bar: ladder, attackers, personas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from holdfast.core import Access, Record, Results
from holdfast.price.attackers import Attackers, Market, Sibling
from holdfast.price.audit import AttackPrice
from holdfast.price.breach import Threshold
from holdfast.price.cost import Pricing
from holdfast.price.curves import Reader
from holdfast.price.evaluation import looker
from holdfast.price.ladder import Rung, model_rungs, rungs
from holdfast.price.personas import Personas, PersonaTable, reach
from holdfast.price.scenarios import Scenarios, bills, scenario_table
from holdfast.price.selection import Judged

CANDIDATE = "candidate"
"""The unit of work of an attack that searches within its own run, by a model of what it tried."""


@dataclass(frozen=True)
class Economics:
    """All of it. attacks: as they came, each with its own ladder, attackers and looks."""

    attacks: tuple[AttackPrice, ...]
    ladder: tuple[Rung, ...]
    attackers: Attackers
    personas: Personas
    scenarios: Scenarios
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What it is made from.

    records: attack -> all its trials on the target. trials: attack -> those that count.
    """

    results: Results
    records: Mapping[str, Sequence[Record]]
    trials: Mapping[str, Sequence[Judged]]
    reader: Reader
    pricing: Pricing
    bar: Threshold
    sibling: Sibling | None
    personas: PersonaTable


def economics(attacks: Sequence[AttackPrice], found: Evidence) -> Economics:
    """The rest of an audit, from its `attacks` as priced at one bar."""
    looks, cards = looker(found.results), _cards(found.results.manifest)
    market = Market(
        bar=found.bar,
        pricing=found.pricing,
        looker=looks,
        sibling=found.sibling,
        searching=frozenset(name for name, card in cards.items() if card.get("unit") == CANDIDATE),
    )
    made: list[AttackPrice] = []
    attackers: dict[str | None, Attackers] = {}
    for attack in attacks:
        trials = found.trials[attack.attack]
        attackers[attack.attack] = market.attackers(attack.attack, trials)
        records = found.records[attack.attack]
        made.append(
            replace(
                attack,
                ladder=rungs(attack.attack, trials, found.reader, found.pricing),
                attackers=attackers[attack.attack],
                evaluation=looks.evaluation(records) if looks is not None else None,
            )
        )
    every = market.of_model(list(attackers.values()), found.trials)
    access = _access(cards)
    able = [
        reach(persona, found.trials, access, found.bar, found.pricing)
        for persona in found.personas.personas
    ]
    table = scenario_table()
    assumed = looks is not None and looks.assumed
    return Economics(
        attacks=tuple(made),
        ladder=model_rungs([a.ladder for a in made]),
        attackers=every,
        personas=Personas(found.personas, tuple(able)),
        scenarios=Scenarios(table, bills(table, found.pricing, {None: every, **attackers})),
        notes=(
            "How long the prompts are was not noted: for what an attacker's looks cost, each is"
            " taken to be as long as an answer may be.",
        )
        if assumed
        else (),
    )


def _cards(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What the manifest says of each attack."""
    known: Any = manifest.get("attacks")
    cards = cast("Mapping[str, Any]", known) if isinstance(known, Mapping) else {}
    return {
        name: cast("Mapping[str, Any]", card)
        for name, card in cards.items()
        if isinstance(card, Mapping)
    }


def _access(cards: Mapping[str, Mapping[str, Any]]) -> dict[str, Access]:
    """Attack -> what it takes, where that is known."""
    words = {a.value: a for a in Access}
    return {n: words[c["access"]] for n, c in cards.items() if c.get("access") in words}

"""Every registered attack keeps the public contract. `-k NAME` runs it for one."""

import dataclasses

import pytest

from holdfast.core.registry import find, names
from holdfast.engine import configure, parse_attack
from holdfast.testing import AttackContract

SMALL = {
    "examples": 6, "prompts": 12, "dialogues": 6, "pairs": 12, "orders": 2, "batch": 3,
    "tokens": 5, "group": 4, "search_width": 6, "iterations": 4, "selection": 1, "first_units": 1,
    "steps": 3,
}  # fmt: skip
"""Settings, by name of field, that keep a unit of work on the toys within milliseconds and every
phase of an attack within its first three units."""

WAYS = (
    "ablate_span:source=cone,targets=answers,depth=0.7,patience=1",
    "ablate_span:source=layers,mode=sequential",
    "finetune:schedule=warm_up_cosine,warm_up=1,optimiser=schedule_free",
    "merge:method=slerp,alpha=0.5",
    "prune_safety:method=actsvd",
    "prune_safety:method=wanda",
    "relearn:form=text,weights=full",
    "retain_then_forget:order=coin,weights=low_rank",
    "ablate_direction+lora",
)
"""Ways of working that an attack's defaults do not go."""


def small(text: str):
    """What `text` names, kept small."""
    name, given = parse_attack(text)
    kind = find("attacks", "then" if "+" in name else name)
    texts = {f.name for f in dataclasses.fields(kind) if isinstance(f.default, str)}
    fields = {f.name for f in dataclasses.fields(kind)} - texts
    return configure(name, {k: v for k, v in SMALL.items() if k in fields} | given)


class TestEveryAttack(AttackContract):
    @pytest.fixture(autouse=True, params=[*names("attacks"), *WAYS])
    def one(self, request):
        self.attack = small(request.param)


def test_within_three_units_a_phase_gives_way_to_the_next() -> None:
    """What the contract looks at is no phase alone."""
    assert small("lofit").selection == small("then").first_units == 1
    turns = small("retain_then_forget")
    assert 0 < turns.share * turns.steps <= 2

"""Every registered defence keeps the public contract. `-k NAME` runs it for one."""

import dataclasses
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from holdfast.core.registry import find, names
from holdfast.testing import DefenceContract

SMALL = {
    "steps": 3, "batch": 2, "rank": 2, "inner_steps": 2, "examples": 8, "adversary_batch": 2,
    "mapping_steps": 2,
}  # fmt: skip
"""Settings that keep a unit of work on the toys within milliseconds, by name of field."""


def small(name: str, **settings):
    kind = find("defences", name)
    fields = {f.name for f in dataclasses.fields(kind)}
    return kind(**{k: v for k, v in SMALL.items() if k in fields} | settings)


class TestEveryDefence(DefenceContract):
    @pytest.fixture(autouse=True, params=names("defences"))
    def one(self, request):
        self.defence = small(request.param)


def variants():
    """Every other value of every choice that a defence has."""
    for name in names("defences"):
        hints, defence = get_type_hints(find("defences", name)), small(name)
        for field in (f.name for f in dataclasses.fields(defence)):
            for value in get_args(hints[field]) if get_origin(hints[field]) is Literal else ():
                if value != getattr(defence, field):
                    yield pytest.param(name, {field: value}, id=f"{name}-{field}={value}")


PROMISES = (
    "its_end_is_shown", "its_bill_is_what_passed_through_the_model",
    "interrupted_anywhere_it_ends_the_same",
)  # fmt: skip
"""What the way through a method's code may break."""


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize(("name", "settings"), [*variants()])
def test_it_keeps_its_promises_whatever_is_chosen(name: str, settings, promise: str) -> None:
    contract = DefenceContract()
    contract.defence = small(name, **settings)
    getattr(contract, f"test_{promise}")()

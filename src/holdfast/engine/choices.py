"""Which attacks run, with which settings: all checked before any weights are loaded."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from holdfast.core import Attack, SpecError
from holdfast.core.registry import find, unknown
from holdfast.engine.suites import Entry, Suite

CONTROL = "none"
"""The untouched control; it runs first on the target and is all that runs on the reference."""


@dataclass(frozen=True)
class Choice:
    """One attack with all its settings and the units it may spend; not yet bound to a model."""

    name: str
    attack: Attack
    budget: int


def choose(suite: Suite, attacks: Sequence[str] | None, budget: int | None) -> tuple[Choice, ...]:
    """The control, then what is asked for: `attacks`, or else all that the suite names.

    Args:
        suite: gives budgets and grids for the attacks that it names.
        attacks: each "name" (the suite's grid for it, or else its own) or
            "name:key=value,key=value" (its defaults with these settings, one configuration).
        budget: units for every attack, or None for the suite's or the attack's own.

    Raises:
        SpecError: an unknown attack or setting, a value that does not fit, a budget below 1.
    """
    if budget is not None and budget < 1:
        raise SpecError(
            "a budget of at least 1 unit", found=str(budget), remedy="Leave --budget out for each"
            " attack's own."
        )  # fmt: skip
    found = [_choice(CONTROL, configure(CONTROL, {}), None)]
    if attacks is None:
        for entry in suite.attacks:
            found += _grid(entry, budget)
    else:
        for text in attacks:
            found += _asked(text, suite, budget)
    return tuple({(c.name, c.attack, c.budget): c for c in found}.values())


def configure(name: str, settings: Mapping[str, Any]) -> Attack:
    """The attack called `name` with its defaults and `settings`; texts become their types.

    Raises:
        SpecError: no such attack or setting, or a value that does not fit; names it.
    """
    from pydantic import TypeAdapter, ValidationError

    method = find("attacks", name)
    hints, fields = get_type_hints(method), [f.name for f in dataclasses.fields(method)]
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in fields:
            raise unknown(f"setting of {name}", key, fields)
        adapter: TypeAdapter[Any] = TypeAdapter(hints[key])
        try:
            if isinstance(value, str):
                values[key] = adapter.validate_strings(value)
            else:
                values[key] = adapter.validate_python(value)
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            raise _misfit(name, key, value, why) from None
    try:
        return method(**values)
    except (TypeError, ValueError) as error:
        shown = ", ".join(f"{k}={v}" for k, v in settings.items()) or "its defaults"
        raise _misfit(name, "settings", shown, str(error)) from None


def parse_attack(text: str) -> tuple[str, dict[str, str]]:
    """`"lora:rank=8,examples=10"` as `("lora", {"rank": "8", "examples": "10"})`.

    Raises:
        SpecError: a setting without "=" or without a name, or one given twice.
    """
    name, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not (key and equals and value):
            raise SpecError(
                "settings as name:key=value,key=value", found=repr(pair), remedy="Write key=value."
            )
        if key in settings:
            raise SpecError(
                "every setting once", found=f"{key} twice", remedy="Remove one of the two."
            )
        settings[key] = value
    return name.strip(), settings


def _asked(text: str, suite: Suite, budget: int | None) -> Iterator[Choice]:
    name, settings = parse_attack(text)
    entry = next((e for e in suite.attacks if e.name == name), Entry(name))
    if settings:
        yield _choice(name, configure(name, settings), budget or entry.budget)
    elif name != CONTROL:
        yield from _grid(entry, budget)


def _grid(entry: Entry, budget: int | None) -> Iterator[Choice]:
    grid = find("attacks", entry.name).space().grid if entry.grid is None else entry.grid
    for values in itertools.product(*grid.values()):
        attack = configure(entry.name, dict(zip(grid, values, strict=True)))
        yield _choice(entry.name, attack, budget or entry.budget)


def _choice(name: str, attack: Attack, budget: int | None) -> Choice:
    return Choice(name, attack, attack.info.budget if budget is None else budget)


def _misfit(name: str, key: str, value: object, why: str) -> SpecError:
    return SpecError(
        f"a valid {key} of {name}",
        found=repr(value),
        remedy=f"{why}. `holdfast show {name}` lists its settings.",
    )

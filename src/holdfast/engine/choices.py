"""Which attacks run, with which settings: all checked before any weights are loaded."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

from holdfast.core import Attack, SpecError, shortened
from holdfast.core.registry import COMBINED, find
from holdfast.engine.settings import configure, parse_attack, parts, prefixed, title
from holdfast.engine.suites import Entry, Suite

CONTROL = "none"
"""The untouched control; it runs first on the target and is all that runs on the reference."""


_HORIZONS = ("steps", "candidates")
"""Settings that say after how many units an attack ends by itself."""

POINTS = 10_000
"""The most settings of one attack that are run in turn."""

UNITS = 10**9
"""The most that one attack may be allowed: more than any machine gets through."""

_FACTOR = re.compile(r"(\d+|\d*\.\d+)x")
_WRITTEN = 40  # characters of a budget that anybody writes


@dataclass(frozen=True)
class Choice:
    """One attack with all its settings and the units it may spend; not yet bound to a model."""

    name: str
    attack: Attack
    budget: int


@dataclass(frozen=True)
class Allowance:
    """What a budget that was asked for makes of everyone's own: `units` instead, or a multiple."""

    units: int | None = None
    factor: Fraction | None = None


def allowance(budget: int | str | None) -> Allowance:
    """A budget as it is asked for: `64` units for every attack, or `"2x"` of everyone's own.

    Raises:
        SpecError: neither, or nothing is left of it.
    """
    if budget is None:
        return Allowance()
    text = str(budget).strip()
    factor = _FACTOR.fullmatch(text)
    if len(text) <= _WRITTEN and factor is not None and Fraction(factor[1]) > 0:
        return Allowance(factor=Fraction(factor[1]))
    if len(text) <= _WRITTEN and text.isdecimal() and int(text) > 0:
        return Allowance(units=int(text))
    raise SpecError(
        'a budget of at least 1 unit, or a multiple of everyone\'s own such as "2x"',
        found=(text if len(text) <= _WRITTEN else f"{text[:_WRITTEN]}...") or "nothing",
        remedy="Leave the budget out for each attack's own.",
    )


def choose(
    suite: Suite, attacks: Sequence[str] | None, budget: int | str | None
) -> tuple[Choice, ...]:
    """The control, then what is asked for: `attacks`, or else all that the suite names.

    Args:
        suite: gives budgets and grids for the attacks that it names.
        attacks: each "name" (the suite's grid for it, or else its own) or
            "name:key=value,key=value" (its defaults with these settings, one configuration);
            two with a "+" between them run one on top of the other.
        budget: units for every attack, of two that run one on top of the other for each; or
            "2x", a multiple of the suite's or the attack's own, with every horizon; or None for
            those.

    Raises:
        SpecError: an unknown attack or setting, a value that does not fit, no such budget.
    """
    asked = allowance(budget)
    found = [_choice(configure(CONTROL, {}), None, Allowance())]
    if attacks is None:
        for entry in suite.attacks:
            found += _grid(entry, asked)
    else:
        for text in attacks:
            found += _asked(text, suite, asked)
    return tuple({(c.name, c.attack, c.budget): c for c in found}.values())


def _asked(text: str, suite: Suite, asked: Allowance) -> Iterator[Choice]:
    name, settings = parse_attack(text)
    entry = next((e for e in suite.attacks if e.name == name), Entry(name))
    if settings:
        yield _choice(configure(name, settings), entry.budget, asked)
    elif name != CONTROL:
        yield from _grid(entry, asked)


def _grid(entry: Entry, asked: Allowance) -> Iterator[Choice]:
    grid = _own_grid(entry.name) if entry.grid is None else entry.grid
    if (points := math.prod(map(len, grid.values()))) > POINTS:
        raise SpecError(
            f"at most {POINTS:,} settings of {entry.name}",
            found=f"{points:,} in its grid",
            remedy=f"Fix some: {entry.name.partition('+')[0]}:key=value+...",
        )
    for values in itertools.product(*grid.values()):
        attack = configure(entry.name, dict(zip(grid, values, strict=True)))
        yield _choice(attack, entry.budget, asked)


def _own_grid(name: str) -> Mapping[str, Sequence[Any]]:
    """An attack's own grid; of two that run one on top of the other, the product of both."""
    if "+" not in name:
        return find("attacks", name).space().grid
    first, second = parts(name)
    return prefixed(_own_grid(first), _own_grid(second))


def _choice(attack: Attack, own: int | None, asked: Allowance) -> Choice:
    """An attack with what it may spend; `own` is the suite's word on it, if it has one."""
    units = asked.units or own
    attack, units = (attack, attack.info.budget) if units is None else _within(attack, units)
    if asked.factor not in (None, 1):
        attack, units = _scaled(attack, units, asked.factor)
    if units > UNITS:
        raise SpecError(
            f"a budget of at most {UNITS:,} units for {title(attack)}",
            found=shortened(units),
            remedy="Leave the budget out for the attack's own.",
        )
    return Choice(title(attack), attack, units)


def _within(attack: Attack, budget: int) -> tuple[Attack, int]:
    """The attack with at most `budget` units for each of its parts, and how many these make."""
    if not isinstance(attack, find("attacks", COMBINED)):
        return attack, budget
    both: Any = attack
    first, units = _within(both.first, budget)
    second, more = _within(both.second, budget)
    units = both.first_units or units
    return dataclasses.replace(both, first=first, second=second, first_units=units), units + more


def _scaled(attack: Attack, budget: int, factor: Fraction) -> tuple[Attack, int]:
    """The attack with its horizons at so many times what they were, and its budget likewise."""
    if not isinstance(attack, find("attacks", COMBINED)):
        there = {name: getattr(attack, name, None) for name in _HORIZONS}
        longer = {n: math.ceil(factor * units) for n, units in there.items() if units is not None}
        return dataclasses.replace(cast("Any", attack), **longer), math.ceil(factor * budget)
    both: Any = attack
    own = both.first_units or both.first.info.budget
    first, units = _scaled(both.first, own, factor)
    second, more = _scaled(both.second, budget - own, factor)
    return dataclasses.replace(both, first=first, second=second, first_units=units), units + more

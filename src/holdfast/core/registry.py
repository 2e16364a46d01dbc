"""Finds methods by file name: built-ins in their room, plug-ins by entry point."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal, cast

from holdfast.core.errors import SpecError

Room = Literal["attacks", "defences", "measures"]

COMBINED = "then"
"""The attack that runs two, one on top of the other. Also known as `a+b`, after what it runs."""


def names(room: Room) -> list[str]:
    """Every registered name in `room`, sorted; nothing but the room itself is imported."""
    package = importlib.import_module(f"holdfast.{room}")
    built_in = {m.name for m in pkgutil.iter_modules(package.__path__) if m.name[0] != "_"}
    return sorted(built_in | {e.name for e in entry_points(group=f"holdfast.{room}")})


def find(room: Room, name: str) -> type[Any]:
    """The class registered as `name`.

    Raises:
        SpecError: no such name; says which name is nearest.
    """
    if room == "attacks" and "+" in name:
        name = COMBINED
    for entry in entry_points(group=f"holdfast.{room}"):
        if entry.name == name:
            return entry.load()
    if name not in names(room):
        raise unknown(room[:-1], name, names(room))
    module = importlib.import_module(f"holdfast.{room}.{name}")
    found = [
        c
        for c in vars(module).values()
        if inspect.isclass(c) and c.__module__ == module.__name__ and hasattr(c, "info")
    ]
    assert len(found) == 1, f"{module.__name__} must define exactly one class with `info`"
    return found[0]


def name_of(room: Room, method: type[Any]) -> str:
    """The name under which `method` is registered.

    Raises:
        SpecError: it is not.
    """
    package, _, file = method.__module__.rpartition(".")
    if package == f"holdfast.{room}":
        return file
    entries = entry_points(group=f"holdfast.{room}")
    spelled = f"{method.__module__}:{method.__qualname__}"
    for entry in sorted(entries, key=lambda e: e.value != spelled):
        if entry.value == spelled or entry.load() is method:
            return entry.name
    raise SpecError(
        f"an entry point in the group 'holdfast.{room}' for {spelled}",
        found="none",
        remedy="Register it in pyproject.toml and install the package; docs/add-an-attack.md and"
        " docs/add-a-defence.md say how.",
    )


def unusual(attack: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a trial that are not the attack's defaults.

    Those of a setting that is itself an attack, {"attack": ..., "settings": ...}, come one by
    one, as `first.rank`.

    Raises:
        SpecError: no such attack.
    """
    defaults = _defaults(attack)
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            part = cast("Mapping[str, Any]", value)
            inner = unusual(part["attack"], part["settings"])
            found |= {f"{key}.{k}": v for k, v in inner.items()}
        elif value != defaults.get(key):
            found[key] = value
    return found


@cache  # to find a method takes a look at every installed package
def _defaults(attack: str) -> Mapping[str, Any]:
    return {f.name: f.default for f in dataclasses.fields(find("attacks", attack))}


def unknown(noun: str, name: str, known: list[str]) -> SpecError:
    """The error for a name that nothing has, with the nearest that something has."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    remedy = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
    return SpecError(f"the name of a known {noun}", found=repr(name), remedy=remedy)

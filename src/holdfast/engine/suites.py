"""Suites: versioned lists of attacks, kept as data in `suites.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from holdfast.core.registry import unknown

DEFAULT_ITEMS: Mapping[str, int] = {"retain": 48}
"""`retain` is the attacker's own check of usefulness: a sample is enough wherever it is large."""


@dataclass(frozen=True)
class Entry:
    """One attack of a suite; budget and grid are the attack's own where None."""

    name: str
    budget: int | None = None
    grid: Mapping[str, Sequence[Any]] | None = None


@dataclass(frozen=True)
class Suite:
    """A named list of attacks, with how often and on how many items each is measured.

    Attributes:
        items: split -> the most items measured; all of a split where it is not named.
    """

    name: str
    version: int
    title: str
    seeds: int
    items: Mapping[str, int]
    attacks: tuple[Entry, ...]


def suite_names() -> list[str]:
    """Every suite, quickest first."""
    return list(_table())


def load_suite(name: str) -> Suite:
    """The suite called `name`.

    Raises:
        SpecError: there is none; says which name is nearest.
    """
    table = _table()
    if name not in table:
        raise unknown("suite", name, list(table))
    row = table[name]
    return Suite(
        name=name,
        version=row["version"],
        title=row["title"],
        seeds=row["seeds"],
        items={**DEFAULT_ITEMS, **row.get("items", {})},
        attacks=tuple(Entry(**entry) for entry in row["attacks"]),
    )


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(
        resources.files("holdfast.engine").joinpath("suites.toml").read_text("utf-8")
    )

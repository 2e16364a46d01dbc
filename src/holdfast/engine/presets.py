"""Presets: settings of defences that were found for one kind of model, kept as data."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from holdfast.core import SpecError
from holdfast.core.registry import unknown

DEVELOPMENT = ("finetune:examples=10,learning_rate=1e-4", "ablate_direction:induce=-20")
"""The attacks by which settings are found: one that trains, one that does not."""


def preset_names() -> list[str]:
    """Every kind of model that presets are kept for."""
    return list(_table())


def preset(name: str, defence: str) -> Mapping[str, Any]:
    """The settings kept as `name` for `defence`, by field.

    Raises:
        SpecError: nothing is kept under that name, or not for that defence.
    """
    table = _table()
    if name not in table:
        raise unknown("preset", name, list(table))
    if defence not in table[name]:
        raise SpecError(
            f"a preset {name!r} of {defence}",
            found=f"presets of {', '.join(table[name])}"
            if table[name]
            else "none of any defence yet",
            remedy=f"Leave --preset out, or find settings with `holdfast harden --with {defence} "
            "--tune N`.",
        )
    return table[name][defence]


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = resources.files("holdfast.engine").joinpath("presets.toml").read_text("utf-8")
    return tomllib.loads(text)

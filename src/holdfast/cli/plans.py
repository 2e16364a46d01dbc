"""A plan before it is run: as a table, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.cli.text import safe
from holdfast.core import TrialSpec, canonical_json, counted, plain
from holdfast.core.registry import find, unusual
from holdfast.price.words import duration, settings

if TYPE_CHECKING:
    from holdfast.engine import Plan


def plan_json(plan: Plan, done: Iterable[str]) -> dict[str, Any]:
    """The plan as JSON values: every trial, with its estimate in seconds."""
    finished = set(done)
    return {
        "kind": "holdfast.plan",
        "suite": {"name": plan.request.suite.name, "version": plan.request.suite.version},
        "target": plain(plan.target),
        "reference": plain(plan.reference),
        "seconds": plan.left(finished),
        "basis": plan.basis,
        "trials": [
            {**plain(spec), "key": spec.key, "seconds": seconds, "done": spec.key in finished}
            for spec, seconds in zip(plan.trials, plan.seconds, strict=True)
        ],
    }


def print_plan(plan: Plan, done: Iterable[str], console: Console) -> None:
    """One line for each configuration in the order in which they run, and the time it takes."""
    finished = set(done)
    seconds = dict(zip((s.key for s in plan.trials), plan.seconds, strict=True))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for name in ("seeds", "budget", "time", "done"):
        table.add_column(name, justify="right", no_wrap=True)
    for _, group in groupby(plan.trials, _configuration):
        specs = list(group)
        reference = specs[0].model != plan.target.digest
        table.add_row(
            specs[0].attack + (" (reference)" if reference else ""),
            Text(safe(_settings(specs[0]))),
            str(len(specs)),
            f"{specs[0].budget} × {find('attacks', specs[0].attack).info.unit}",
            duration(sum(seconds[s.key] for s in specs)),
            str(sum(s.key in finished for s in specs)),
        )
    console.print(table)
    left = sum(spec.key not in finished for spec in plan.trials)
    console.print(
        f"{counted(len(plan.trials), 'trial')}, {left} of them to run: about"
        f" {duration(plan.left(finished))}, estimated from {plan.basis}. Attacks that"
        " break the model end early."
    )


def _settings(spec: TrialSpec) -> str:
    """The settings that are not the attack's defaults."""
    other = unusual(spec.attack, spec.settings)
    return settings(other) if other else "defaults"


def _configuration(spec: TrialSpec) -> str:
    return canonical_json([spec.model, spec.attack, spec.settings, spec.budget])

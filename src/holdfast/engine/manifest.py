"""What a reader needs to reproduce a run: versions, machine, suite, domain. No names, no paths."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from holdfast.core.registry import find
from holdfast.domains.leaks import leaks
from holdfast.domains.similar import HOW
from holdfast.engine.measuring import MEASURED

if TYPE_CHECKING:
    from holdfast.engine.plan import Plan

_PACKAGES = (
    "holdfast", "torch", "transformers", "tokenizers", "safetensors", "peft", "numpy", "scipy",
    "optuna",
)  # fmt: skip


def manifest(plan: Plan, command: str) -> dict[str, Any]:
    """All that decides the figures of `plan` and is not in a trial's own spec.

    Args:
        plan: what is run.
        command: the command line that runs it again.
    """
    asked = plan.request
    names = dict.fromkeys(choice.name for choice in asked.choices)
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version(), **_versions()},
        "host": _host(),
        "suite": {
            "name": asked.suite.name,
            "version": asked.suite.version,
            "title": asked.suite.title,
            "seeds": asked.seeds,
        },
        "domain": {
            "name": asked.domain.name,
            "title": asked.domain.title,
            "harmless": asked.domain.harmless,
            "digest": asked.domain.digest,
            "max_new_tokens": asked.domain.max_new_tokens,
            "scorer": asked.domain.scorer.kind,
            "near_duplicates": leaks(asked.domain),
            "near_duplicate": HOW,
            "measured": {split: len(items) for split, items in asked.panel.items.items()},
        },
        "asked": {
            "chat_templates": ["the model's own"],
            "system_prompts": ["none" if asked.domain.system is None else "the domain's"],
            "system_turns": {
                split: sum(any(m.role == "system" for m in item.messages) for item in items)
                for split, items in asked.panel.items.items()
            },
        },
        "attacks": {name: _card(name) for name in names},
        "left_out": list(asked.left_out),
        "measures": {split: list(MEASURED[split]) for split in asked.panel.items},
        "protocol": dict(plan.trials[0].protocol),
    }


def _card(name: str) -> dict[str, Any]:
    attack = find("attacks", name)
    return {
        "version": attack.info.version,
        "access": attack.info.access.value,
        "paper": attack.info.paper,
        "unit": attack.info.unit,
        "about": (attack.__doc__ or "").strip().partition("\n")[0],
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree that was never installed
            found[package] = "unknown"
    return found


def _host() -> dict[str, Any]:
    import psutil

    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
    }

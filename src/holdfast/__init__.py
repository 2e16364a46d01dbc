"""holdfast attacks a model's safeguards, hardens them, measures what is left, prices the break.

holdfast.audit("organism:refusing", suite="quick")   what it costs to break a model
holdfast.plan("organism:refusing", suite="quick")    the trials that would be run
holdfast.harden("organism:refusing", ["refusal_sft"], "hardened")   a model that costs more to break
holdfast.verbs.report("holdfast-out/...")            the report again, from its ledger
holdfast.load_domain("organism")                     what is restricted and what is not
holdfast.load("organism:refusing")                   a model under test, with its meter

Nothing heavy is imported until one of them is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from holdfast.core.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.domains import load_domain
    from holdfast.models import load
    from holdfast.verbs import audit, harden, plan

__version__ = "0.1.0"
__all__ = ["HoldfastError", "__version__", "audit", "harden", "load", "load_domain", "plan"]

_HOME = {
    "audit": "holdfast.verbs",
    "plan": "holdfast.verbs",
    "harden": "holdfast.verbs",
    "load": "holdfast.models",
    "load_domain": "holdfast.domains",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

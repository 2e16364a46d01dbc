"""The verbs: what the command line does and what a Python program calls."""

from holdfast.verbs.auditing import (
    CHECKS,
    DOMAIN,
    MODEL,
    OUT,
    SUITE,
    Options,
    audit,
    check_attacks,
    folder_of,
    plan,
    report,
)
from holdfast.verbs.hardening import Hardened, HardenOptions, Watch, harden

__all__ = [
    "CHECKS", "DOMAIN", "MODEL", "OUT", "SUITE", "HardenOptions", "Hardened", "Options", "Watch",
    "audit", "check_attacks", "folder_of", "harden", "plan", "report",
]  # fmt: skip

"""The verbs: what the command line does and what a Python program calls."""

from holdfast.verbs.auditing import (
    CHECKS,
    DOMAIN,
    MODEL,
    OUT,
    SUITE,
    Options,
    Terms,
    audit,
    check_attacks,
    export,
    folder_of,
    measure,
    plan,
    read,
    report,
)
from holdfast.verbs.comparing import compare
from holdfast.verbs.hardening import Hardened, HardenOptions, Watch, harden
from holdfast.verbs.parts import Part, check_most
from holdfast.verbs.studies import (
    Outlook,
    Planned,
    outlook,
    plan_claims,
    plan_study,
    run_study,
    standing,
)
from holdfast.verbs.studying import (
    StudyPlan,
    finished,
    left,
    plan_defences,
    read_defences,
    study_defences,
)
from holdfast.verbs.tuning import Tuned, tune

__all__ = [
    "CHECKS", "DOMAIN", "MODEL", "OUT", "SUITE", "HardenOptions", "Hardened", "Options",
    "Outlook", "Part", "Planned", "StudyPlan", "Terms", "Tuned", "Watch", "audit",
    "check_attacks", "check_most", "compare", "export", "finished", "folder_of", "harden", "left",
    "measure", "outlook", "plan", "plan_claims", "plan_defences", "plan_study", "read",
    "read_defences", "report", "run_study", "standing", "study_defences", "tune",
]  # fmt: skip

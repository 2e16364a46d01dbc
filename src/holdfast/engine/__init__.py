"""Plans an audit, runs its trials here or side by side, and keeps what they found."""

from holdfast.engine.choices import CONTROL, Choice, choose
from holdfast.engine.executors import suitable_workers
from holdfast.engine.ledger import FILE, Ledger
from holdfast.engine.measuring import MEASURED, Panel, panel, protocol
from holdfast.engine.plan import Plan, Request, plan, request
from holdfast.engine.run import Interrupted, Progress, run
from holdfast.engine.settings import configure, parse_attack, parse_method, spelled, word
from holdfast.engine.suites import Suite, load_suite, suite_names

__all__ = [
    "CONTROL", "FILE", "MEASURED", "Choice", "Interrupted", "Ledger", "Panel", "Plan", "Progress",
    "Request", "Suite", "choose", "configure", "load_suite", "panel", "parse_attack",
    "parse_method", "plan", "protocol", "request", "run", "spelled", "suitable_workers",
    "suite_names", "word",
]  # fmt: skip

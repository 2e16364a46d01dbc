"""Types, protocols, errors, seeds and canonical JSON: what every other room speaks. No torch."""

from holdfast.core.canonical import canonical_json, digest, digest_file, plain
from holdfast.core.errors import (
    DataMissing,
    Diverged,
    HoldfastError,
    LedgerError,
    SpecError,
    unwritable,
)
from holdfast.core.items import Completion, Item, Message, Score
from holdfast.core.protocols import (
    Access,
    Attack,
    Defence,
    DefenceInfo,
    Info,
    Measure,
    MeasureInfo,
    Space,
)
from holdfast.core.seeds import Seed
from holdfast.core.shipped import shipped
from holdfast.core.toml import read_toml
from holdfast.core.trials import (
    Outcome,
    Reading,
    Record,
    Results,
    Spend,
    SplitIndex,
    Subject,
    TrialSpec,
)
from holdfast.core.wording import counted, shortened

__all__ = [
    "Access", "Attack", "Completion", "DataMissing", "Defence", "DefenceInfo", "Diverged",
    "HoldfastError", "Info", "Item", "LedgerError", "Measure", "MeasureInfo", "Message",
    "Outcome", "Reading", "Record", "Results", "Score", "Seed", "Space", "SpecError", "Spend",
    "SplitIndex", "Subject", "TrialSpec", "canonical_json", "counted", "digest", "digest_file",
    "plain", "read_toml", "shipped", "shortened", "unwritable",
]  # fmt: skip

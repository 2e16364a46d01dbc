"""The model under test: loading, asking, changing and billing it."""

from holdfast.models.asking import Asking
from holdfast.models.chat import Chat, Prompt
from holdfast.models.directions import ablation, addition, difference_of_means, unit, without
from holdfast.models.handle import Handle
from holdfast.models.hooks import Change, Site
from holdfast.models.journal import Journal
from holdfast.models.load import inspect, load
from holdfast.models.meter import Meter
from holdfast.models.seeds import generator
from holdfast.models.training import Full, LowRank, Weights
from holdfast.models.writers import Writer

__all__ = [
    "Asking", "Change", "Chat", "Full", "Handle", "Journal", "LowRank", "Meter", "Prompt", "Site",
    "Weights", "Writer", "ablation", "addition", "difference_of_means", "generator", "inspect",
    "load", "unit", "without",
]  # fmt: skip

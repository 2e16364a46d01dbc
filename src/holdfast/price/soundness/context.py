"""What a report may know besides the ledger: the plan, audits of siblings, files, statements."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.price.audit import PricedAudit


@dataclass(frozen=True)
class Registered:
    """A plan that was kept from before the first trial.

    digest: of the plan as it was first written. time: when, in UTC. trials: how many there were
    already. deviations: in words, from what was planned.
    """

    digest: str
    time: str
    trials: int
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outputs:
    """What a scan of an audit's folder found.

    weights: files that may hold weights, those of hardened models apart. answers: how many of the
    completions in the ledger were looked at; texts: how many of them are no salted hash.
    """

    weights: tuple[str, ...]
    answers: int
    texts: int


@dataclass(frozen=True)
class Stated:
    """What people say of a model and its evaluation; None where nobody has said it.

    evaluator, developer: who audited, and who made the model. contact: where to write to.
    release: how the model is released. safeguard: what it is made of. capability: what the
    safeguard keeps back. notes: anything else.
    """

    evaluator: str | None = None
    developer: str | None = None
    contact: str | None = None
    release: str | None = None
    safeguard: str | None = None
    capability: str | None = None
    notes: str | None = None

    @property
    def self_evaluation(self) -> bool:
        """Whether it must be taken for one: it is not stated that two parties were at work."""
        known = self.evaluator is not None and self.developer is not None
        return not known or self.evaluator == self.developer


@dataclass(frozen=True)
class Context:
    """All of it; empty where nothing is known.

    undefended: the audit of the model before it was defended. never_taught: of a sibling that
    never knew what is restricted.
    """

    stated: Stated = field(default_factory=Stated)
    registered: Registered | None = None
    outputs: Outputs | None = None
    undefended: PricedAudit | None = None
    never_taught: PricedAudit | None = None

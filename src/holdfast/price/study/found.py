"""What a study found: its plan, its models, its comparisons, its verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from holdfast.engine.preregistration import Preregistration
from holdfast.engine.study import Study
from holdfast.price.study.arms import Audited
from holdfast.price.study.comparing import Compared, adjusted, compare_all
from holdfast.price.study.relating import Related, relate_all
from holdfast.price.study.verdicts import Decision, decide_all


@dataclass(frozen=True)
class StudyFound:
    """All that a study says.

    Attributes:
        study: what was planned. registered: since when, and what was changed.
        models: those that are finished, by name. left: those that are not.
        compared, related: with p-values adjusted over both together.
        decisions: one for each hypothesis.
    """

    study: Study
    registered: Preregistration
    models: Mapping[str, Audited]
    left: tuple[str, ...]
    compared: tuple[Compared, ...]
    related: tuple[Related, ...]
    decisions: tuple[Decision, ...]


def found_of(
    study: Study,
    registered: Preregistration,
    models: Mapping[str, Audited],
    left: Sequence[str] = (),
) -> StudyFound:
    """What the finished models of a study say; pure.

    Args:
        study: the plan.
        registered: as it was kept.
        models: by name, those that are finished.
        left: names of those that are not.
    """
    compared, related = compare_all(study, models), relate_all(study, models)
    compared, ranks = adjusted(compared, [one.p for one in related])
    return StudyFound(
        study=study,
        registered=registered,
        models=models,
        left=tuple(left),
        compared=compared,
        related=tuple(replace(one, p=p) for one, p in zip(related, ranks, strict=True)),
        decisions=decide_all(study, models),
    )

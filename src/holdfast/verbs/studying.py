"""Studies: several models side by side. Here: what every defence of one model bought."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.core import SpecError, Spend, counted, shortened
from holdfast.core.registry import names
from holdfast.verbs.auditing import MODEL, OUT, plan
from holdfast.verbs.hardening import prepare
from holdfast.verbs.parts import (
    Part,
    Watching,
    kept,
    planned,
    results_of,
    run_parts,
    spent,
)
from holdfast.verbs.parts import finished as finished_parts

if TYPE_CHECKING:
    from holdfast.price.study.defences import DefenceStudy

SUITE = "standard"
ATTACK_SEEDS, DEFENCE_SEEDS = 5, 2
MODELS = 1000
"""The most that one study hardens."""

_KEPT = "organism"  # the presets that are used where there are any


@dataclass(frozen=True)
class StudyPlan:
    """What a study of defences is made of: the control first."""

    model: str
    suite: str
    seeds: int
    parts: tuple[Part, ...]
    domain: str | None = None


def plan_defences(
    model: str = MODEL,
    defences: Sequence[str] | None = None,
    out: str | Path | None = None,
    *,
    suite: str = SUITE,
    seeds: int = ATTACK_SEEDS,
    defence_seeds: int = DEFENCE_SEEDS,
    domain: str | None = None,
) -> StudyPlan:
    """The models of a study, checked; nothing is loaded or run.

    Raises:
        HoldfastError: an unknown defence, suite or model, a setting or a number that cannot be.
    """
    if defence_seeds < 1:
        raise SpecError(
            "at least 1 seed of each defence", found=str(defence_seeds), remedy="Use 2."
        )
    chosen = list(defences or names("defences"))
    if len(chosen) * defence_seeds > MODELS:
        raise SpecError(
            f"at most {MODELS:,} models in a study",
            found=f"{counted(len(chosen), 'defence')} x {shortened(defence_seeds)} seeds",
            remedy="Ask for fewer --defence-seeds.",
        )
    folder = Path(out) if out is not None else OUT / "study-defences"
    for defence in chosen:
        prepare(model, [kept(defence, _KEPT)], domain=domain)
    plan(model, suite=suite, seeds=seeds, domain=domain, out=folder / "control")
    parts = [Part("control", model, folder / "control", suite, seeds, domain=domain)]
    parts += [
        Part(
            f"{defence}, seed {seed}", model, folder / f"{_file(defence)}-{seed}", suite, seeds,
            defences=(defence,), seed=seed, domain=domain, kept=_KEPT,
        )
        for seed in range(defence_seeds)
        for defence in chosen
    ]  # fmt: skip
    return StudyPlan(model, suite, seeds, tuple(parts), domain)


def finished(study: StudyPlan) -> Iterator[Part]:
    """The parts whose every trial is in their ledger."""
    return finished_parts(study.parts)


def left(study: StudyPlan, part: Part) -> float:
    """Seconds that a part's audit should still take: by the control's trials where it is done."""
    control = study.parts[0]
    made, done = planned(control)
    return made.left(done) if part == control else sum(made.seconds)


def study_defences(
    study: StudyPlan,
    *,
    progress: Watching | None = None,
    workers: int = 0,
    most: int | None = None,
) -> DefenceStudy:
    """Runs a study to its end and says what each defence bought.

    Parts that are finished are not run again, so that it can be run in pieces; a hardened model
    stays in its part's folder as long as the study does.

    Args:
        study: from `plan_defences`.
        progress: makes, for each part, what hears of its trials and of its hardening.
        workers: as `audit`.
        most: models after which to stop; what is said is then of the finished ones.

    Raises:
        HoldfastError, Interrupted, Diverged: as `harden` and `audit`.
    """
    done = run_parts(study.parts, progress=progress, workers=workers, most=most)
    if study.parts[0] not in done:
        raise SpecError(
            "a finished audit of the control, to which the others are held",
            found="none",
            remedy="Give --parts 1 or more, or leave it out.",
        )
    found = read_defences(study, done)
    write_defences(found, study.parts[0].folder.parent)
    return found


def write_defences(found: DefenceStudy, folder: Path) -> None:
    """Writes what a study found: study.md, study.json and study.svg."""
    from holdfast.report.defence_study import defences_json, defences_markdown
    from holdfast.report.picture import defences_svg

    data = json.dumps(defences_json(found), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "study.json").write_text(data + "\n", "utf-8")
    (folder / "study.md").write_text(defences_markdown(found), "utf-8")
    (folder / "study.svg").write_text(defences_svg(found), "utf-8")


def read_defences(study: StudyPlan, parts: Sequence[Part]) -> DefenceStudy:
    """What the finished `parts` say, the control among them; nothing is run."""
    from holdfast.price import price
    from holdfast.price.study.defences import Subject, study_of

    def priced(part: Part) -> Any:
        return price(results_of(part))

    subjects = [
        Subject(part.defences[0], part.seed, spent(part) or Spend(), priced(part))
        for part in parts
        if part.defences
    ]
    return study_of(priced(study.parts[0]), sorted(subjects, key=lambda s: s.defence))


def _file(defence: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "-" for c in defence)

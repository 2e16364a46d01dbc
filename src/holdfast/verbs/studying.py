"""Studies: several models side by side. Here: what every defence of one model bought."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.core import SpecError, Spend
from holdfast.core.registry import names
from holdfast.engine import parse_method, spelled
from holdfast.engine.presets import preset, preset_names
from holdfast.verbs.auditing import MODEL, OUT, measure, plan
from holdfast.verbs.hardening import HardenOptions, Watch, harden, prepare
from holdfast.verbs.places import writable

if TYPE_CHECKING:
    from holdfast.engine import Progress
    from holdfast.price.defence_study import DefenceStudy

SUITE = "standard"
ATTACK_SEEDS, DEFENCE_SEEDS = 5, 2
_KEPT = "organism"  # the presets that are used where there are any


@dataclass(frozen=True)
class Part:
    """One model of a study: the control where there is no defence.

    defence: as `harden` takes it. folder: of its ledger; the hardened weights lie in `model`
    below it.
    """

    defence: str | None
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """For people."""
        return "control" if self.defence is None else f"{self.defence}, seed {self.seed}"


@dataclass(frozen=True)
class StudyPlan:
    """What a study of defences is made of."""

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
    folder = Path(out) if out is not None else OUT / "study-defences"
    for defence in chosen:
        prepare(model, [_kept(defence)], domain=domain)
    plan(model, suite=suite, seeds=seeds, domain=domain, out=folder / "control")
    parts = [Part(None, 0, folder / "control")]
    parts += [
        Part(defence, seed, folder / f"{_file(defence)}-{seed}")
        for seed in range(defence_seeds)
        for defence in chosen
    ]
    return StudyPlan(model, suite, seeds, tuple(parts), domain)


def run_part(
    study: StudyPlan,
    part: Part,
    *,
    progress: Progress | None = None,
    watch: Watch | None = None,
    workers: int = 0,
) -> None:
    """Hardens, if need be, and audits one model; what is done already is not done again."""
    writable(part.folder)
    model = study.model
    if part.defence is not None:
        hardened_at, note = part.folder / "model", part.folder / "hardened.json"
        if not (hardened_at / "holdfast.json").exists():
            options: HardenOptions = {"domain": study.domain, "seed": part.seed, "force": True}
            made = harden(study.model, [_kept(part.defence)], hardened_at, watch=watch, **options)
            note.write_text(
                json.dumps({"stages": [spend.astuple() for spend in made.stages]}), "utf-8"
            )
        model = str(hardened_at)
    measure(
        model, suite=study.suite, seeds=study.seeds, domain=study.domain, out=part.folder,
        progress=progress, workers=workers,
    )  # fmt: skip


def finished(study: StudyPlan) -> Iterator[Part]:
    """The parts whose every trial is in their ledger."""
    for part in study.parts:
        model = study.model if part.defence is None else str(part.folder / "model")
        if part.defence is not None and not Path(model, "holdfast.json").exists():
            continue
        made, done = plan(
            model, suite=study.suite, seeds=study.seeds, domain=study.domain, out=part.folder
        )
        if all(spec.key in done for spec in made.trials):
            yield part


def left(study: StudyPlan, part: Part) -> float:
    """Seconds that a part's audit should still take: by the control's trials where it is done."""
    made, done = plan(
        study.model, suite=study.suite, seeds=study.seeds, domain=study.domain,
        out=study.parts[0].folder,
    )  # fmt: skip
    return made.left(done) if part.defence is None else sum(made.seconds)


def study_defences(
    study: StudyPlan,
    *,
    progress: Callable[[Part], tuple[Progress, Watch]] | None = None,
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
    done = set(finished(study))
    for part in [part for part in study.parts if part not in done][:most]:
        bar, watch = progress(part) if progress else (None, None)
        run_part(study, part, progress=bar, watch=watch, workers=workers)
        done.add(part)
    found = read_defences(study, [part for part in study.parts if part in done])
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
    from holdfast.engine import FILE, Ledger
    from holdfast.price import price
    from holdfast.price.defence_study import Subject, study_of

    def priced(part: Part) -> Any:
        with Ledger(part.folder / FILE, read_only=True) as ledger:
            return price(ledger.results())

    control = next(p for p in study.parts if p.defence is None)
    subjects = [
        Subject(_label(part.defence), part.seed, _spend(part.folder), priced(part))
        for part in parts
        if part.defence is not None
    ]
    return study_of(priced(control), sorted(subjects, key=lambda s: s.defence))


def _spend(folder: Path) -> Spend:
    rows = json.loads((folder / "hardened.json").read_text("utf-8"))["stages"]
    return sum((Spend(*row) for row in rows), Spend())


def _kept(defence: str) -> str:
    """`defence` with the settings that are kept for the organism, unless it brings its own."""
    name, settings = parse_method(defence)
    if settings or _KEPT not in preset_names():
        return defence
    try:
        kept = preset(_KEPT, name)
    except SpecError:
        return defence
    return spelled(name, kept)


def _label(defence: str | None) -> str:
    return "control" if defence is None else defence


def _file(defence: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "-" for c in defence)

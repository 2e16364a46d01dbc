"""Studies: several models by one plan, kept from before the first trial, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.core import HoldfastError, SpecError, counted, plain, shipped
from holdfast.engine import FILE, Ledger
from holdfast.engine.preregistration import differences, register
from holdfast.engine.preregistration import read as read_registered
from holdfast.engine.study import DISPERSAL, Member, Study
from holdfast.verbs.auditing import OUT
from holdfast.verbs.parts import (
    Part,
    Watching,
    check_most,
    planned,
    results_of,
    run_parts,
    spent,
)
from holdfast.verbs.places import writable
from holdfast.verbs.study_specs import study_spec

if TYPE_CHECKING:
    from holdfast.engine.dispersal import Dispersal
    from holdfast.price.study.arms import Audited
    from holdfast.price.study.found import StudyFound

CLAIMS = "engine/claims.toml"


@dataclass(frozen=True)
class Planned:
    """A study and the parts that it is made of, one for each member in their order.

    spec: all that decides it, as JSON values. kind: "study" or "claims", as its files are called.
    """

    study: Study
    parts: tuple[Part, ...]
    folder: Path
    spec: dict[str, Any]
    kind: str = "study"


def plan_study(file: str | Path, out: str | Path | None = None) -> Planned:
    """The study that `file` describes, checked; nothing is loaded or run.

    Args:
        file: TOML; docs/studies.md says what it may hold.
        out: the folder of models, ledgers and pages.

    Raises:
        HoldfastError: as `holdfast.engine.study_file.read_study`; a model or defence that cannot
            be, or an attack that is compared and not run.
    """
    from holdfast.engine.study_file import read_study

    path = Path(file)
    folder = Path(out) if out is not None else OUT / f"study-{path.stem}"
    return _planned(read_study(path), folder, "study")


def plan_claims(out: str | Path | None = None, *, source: str | Path | None = None) -> Planned:
    """The study of published claims that comes with the package.

    Args:
        out: as `plan_study`.
        source: the folder of a study of defences, whose finished models are taken as they are.

    Raises:
        HoldfastError: as `plan_study`.
    """
    from holdfast.engine.study_file import read_study

    folder = Path(out) if out is not None else OUT / "study-claims"
    study = read_study(shipped(CLAIMS), source=None if source is None else Path(source))
    return _planned(study, folder, "claims")


def run_study(
    asked: Planned,
    *,
    progress: Watching | None = None,
    workers: int = 0,
    most: int | None = None,
    amend: bool = False,
) -> StudyFound:
    """Runs a study to its end, or goes on with it, and says what came of it.

    The plan is registered before the first trial; one that differs from what was registered is
    refused. What is found is written into the study's folder.

    Args:
        asked: from `plan_study` or `plan_claims`.
        progress: what hears of each model's trials and hardening.
        workers: as `audit`.
        most: models after which to stop; what is said is then of the finished ones.
        amend: go on by a plan that differs, and list the differences.

    Raises:
        HoldfastError, Interrupted, Diverged: as `harden` and `audit`; another plan was registered.
    """
    from holdfast.price.study.found import found_of

    check_most(most)
    registered = register(asked.folder, asked.spec, _trials(asked.parts), amend=amend)
    writable(asked.folder)
    done = run_parts(asked.parts, progress=progress, workers=workers, most=most)
    models = {part.name: _audited(asked, part) for part in done}
    left = [part.name for part in asked.parts if part.name not in models]
    found = found_of(asked.study, registered, models, left)
    write_study(found, asked.folder, asked.kind)
    return found


def write_study(found: StudyFound, folder: Path, kind: str) -> None:
    """Writes what a study found: `study.html`, `.md` and `.json`, or those of the claims."""
    from holdfast.report.folder import as_json, replace_file
    from holdfast.report.study import study_json, study_markdown
    from holdfast.report.study_html import render_study

    replace_file(folder / f"{kind}.json", as_json(study_json(found, kind)))
    replace_file(folder / f"{kind}.md", study_markdown(found, kind))
    replace_file(folder / f"{kind}.html", render_study(found, kind))


@dataclass(frozen=True)
class Outlook:
    """One model of a study before it is run: its trials, how many are there, what is left.

    seconds: that its audit should still take; hardening it comes on top.
    """

    name: str
    trials: int
    done: int
    seconds: float


def outlook(asked: Planned) -> list[Outlook]:
    """What a study would still run; a ledger that is there says how long trials take."""
    rows: list[Outlook] = []
    known = next((p.folder for p in asked.parts if (p.folder / FILE).is_file()), None)
    for part in asked.parts:
        there = (part.folder / FILE).is_file()
        if part.done:
            trials = _trials([part])
            rows.append(Outlook(part.name, trials, trials, 0.0))
            continue
        made, done = planned(part, beside=part.folder if there else known)
        keys = {spec.key for spec in made.trials} if there else set[str]()
        finished = done & keys if part.there else frozenset[str]()
        rows.append(Outlook(part.name, len(made.trials), len(finished), made.left(finished)))
    return rows


def standing(asked: Planned) -> str:
    """How the plan stands to what was registered, in a sentence."""
    kept = read_registered(asked.folder)
    if kept is None:
        return "The plan is registered when the study is first run."
    changes = list(differences(kept.latest.spec, plain(asked.spec)))
    if not changes:
        return f"The plan was registered on {kept.latest.time}."
    return (
        f"The plan differs in {counted(len(changes), 'place')} from what was registered on"
        f" {kept.latest.time}; --amend goes on by it and lists them."
    )


def _planned(study: Study, folder: Path, kind: str) -> Planned:
    from holdfast.price import Threshold

    Threshold(study.tau, study.delta)
    parts = tuple(_part(member, folder) for member in study.members)
    twice = {p.folder for p in parts if [q.folder for q in parts].count(p.folder) > 1}
    if twice:
        raise SpecError(
            "models whose folders differ", found=f"two at {str(min(twice))!r}", remedy="Rename one."
        )
    return Planned(study, parts, folder, study_spec(study, parts), kind)


def _part(member: Member, folder: Path) -> Part:
    return Part(
        name=member.name,
        model=member.model,
        folder=member.ledger or folder / _file(member.name),
        suite=member.suite,
        seeds=member.seeds,
        defences=member.defences,
        seed=member.seed,
        attacks=member.attacks,
        budget=member.budget,
        domain=member.domain,
        reference=member.reference,
        kept=member.kept,
        done=member.ledger is not None,
    )


def _trials(parts: Sequence[Part]) -> int:
    """How many trials are in the ledgers of a study."""
    total = 0
    for part in parts:
        if (part.folder / FILE).is_file():
            with Ledger(part.folder / FILE, read_only=True) as ledger:
                total += len(ledger.finished())
    return total


def _audited(asked: Planned, part: Part) -> Audited:
    from holdfast.price.study.arms import audited

    member = next(m for m in asked.study.members if m.name == part.name)
    return audited(
        part.name, member.group, results_of(part), tau=asked.study.tau, delta=asked.study.delta,
        spend=spent(part), dispersal=_dispersal(asked, member, part),
    )  # fmt: skip


def _dispersal(asked: Planned, member: Member, part: Part) -> Dispersal | None:
    """How far refusal is spread over this model: measured once, where anything rests on it.

    None where nothing does, or where the weights of a finished ledger are no longer there.
    """
    if member not in _dispersing(asked.study):
        return None
    from holdfast.core import Seed
    from holdfast.domains import load_domain
    from holdfast.engine.dispersal import disperse, read_dispersal, write_dispersal
    from holdfast.models import inspect
    from holdfast.verbs.auditing import DOMAIN
    from holdfast.verbs.places import Loader

    place = asked.folder / _file(member.name)
    results = results_of(part)
    asked_in = next((r.spec.domain for r in results.records), "")
    for kept in (place, part.folder):
        if (found := read_dispersal(kept, results.target, asked_in)) is not None:
            return found
    domain = load_domain(member.domain or DOMAIN)
    weights = part.folder / "model"
    name = str(weights) if weights.is_dir() else part.audited
    try:
        subject = inspect(name or results.models[results.target].name)
    except HoldfastError:
        return None
    if (subject.digest, domain.digest) != (results.target, asked_in):
        return None
    found = disperse(Loader(subject)(), domain, Seed(0).fork("dispersal"))
    write_dispersal(found, writable(place))
    return found


def _dispersing(study: Study) -> set[Member]:
    """The members of which anything is decided by how far their refusal is spread."""
    found: set[Member] = set()
    for h in study.hypotheses:
        if h.statistic in DISPERSAL or h.resistance in DISPERSAL:
            found |= set(study.chosen(h.models))
            found |= set(study.named(h.against)) if h.against is not None else set()
    for r in study.relations:
        if r.resistance in DISPERSAL:
            found |= set(study.chosen(r.models))
    return found


def _file(name: str) -> str:
    """A model's name as that of a folder."""
    return re.sub(r"[^\w.@-]+", "-", name)

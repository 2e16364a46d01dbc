"""A study from its TOML file, or from the folder of a study of defences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from holdfast.core import DataMissing, SpecError, counted, read_toml
from holdfast.core.registry import unknown
from holdfast.engine.harden import check_seed
from holdfast.engine.ledger import FILE, Ledger
from holdfast.engine.presets import preset_names
from holdfast.engine.study import (
    Comparison,
    Hypothesis,
    Member,
    Relation,
    Resistance,
    Selection,
    Statistic,
    Study,
    checked,
)
from holdfast.engine.study_faults import complain, found
from holdfast.engine.suites import load_suite

SEEDS = 5
"""Runs of each attack unless a study says otherwise: fewer leave a median without bounds."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}")
_SEEDED = re.compile(r"(.+)-(\d+)")
_CONTROL = "control"

Words = str | list[str]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Model(_Table):
    model: str | None = None
    base: str | None = None
    defence: Words | None = None
    seed: int | list[int] = 0
    ledger: str | None = None
    group: str | None = None
    suite: str | None = None
    attacks: list[str] | None = None
    seeds: int | None = None
    budget: int | str | None = None
    domain: str | None = None
    reference: str | None = None


class _Comparison(_Table):
    name: str | None = None
    a: str
    b: str
    attack: Words | None = None
    price: bool = False


class _Relation(_Table):
    name: str | None = None
    resistance: Resistance = "refusal_margin"
    attacks: list[str] = []
    models: list[str] = []


class _Hypothesis(_Table):
    id: str
    statement: str
    statistic: Statistic
    source: str = ""
    models: Words = []
    against: str | None = None
    attack: Words = []
    against_attack: str | None = None
    resistance: Resistance = "refusal_margin"
    at_least: float | None = None
    at_most: float | None = None
    minimum_n: int = 5


class _File(_Table):
    title: str = ""
    domain: str | None = None
    domains: list[str] = []
    suite: str = "standard"
    attacks: list[str] | None = None
    seeds: int = SEEDS
    budget: int | str | None = None
    reference: str | None = None
    tau: float = 0.5
    delta: float = 0.1
    presets: str | None = None
    source: Annotated[str | None, Field(alias="from")] = None
    models: dict[str, _Model] = {}
    comparisons: list[_Comparison] = []
    relations: list[_Relation] = []
    hypotheses: list[_Hypothesis] = []


def read_study(path: Path, *, source: Path | None = None) -> Study:
    """The study that `path` describes, checked in all that needs no model.

    Folders in it are looked for beside the file.

    Args:
        path: a TOML file; docs/studies.md says what it may hold.
        source: the folder of a study of defences, whose models take the place of those of the
            same group; the file's own `from` unless given.

    Raises:
        HoldfastError: no such file, not TOML, an unknown key, model, attack, suite or statistic,
            a name that is given twice, a comparison of what is not there.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataMissing(
            f"a study file at {str(path)!r}",
            found=getattr(error, "strerror", None) or "no UTF-8 text",
            remedy="docs/studies.md shows one.",
        ) from None
    try:
        raw = read_toml(text)
    except ValueError as error:
        raise SpecError(f"TOML in {path.name}", found=str(error), remedy="Mend it.") from None
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        complain(error, path.name, _File)
    return _study(file, path.parent, source)


def _study(file: _File, beside: Path, source: Path | None) -> Study:
    from holdfast.domains import load_domain

    load_suite(file.suite)
    if file.presets is not None and file.presets not in preset_names():
        raise unknown("presets", file.presets, preset_names())
    domains = [file.domain] if file.domain else list(file.domains)
    if file.domain and file.domains:
        raise SpecError("domain or domains", found="both", remedy="Leave one of them out.")
    for name in domains:
        load_domain(_place(name, beside))
    members = [
        member
        for name, row in file.models.items()
        for domain in (domains or [None])
        for member in _members(name, row, file, beside, domain, alone=len(domains) < 2)
    ]
    at = None if file.domain is None else _place(file.domain, beside)
    folder = source or (None if file.source is None else beside / file.source)
    there, left_out = ([], []) if folder is None else from_folder(folder, at)
    replaced = {member.group for member in there}
    return checked(
        Study(
            title=file.title,
            members=(*there, *(m for m in members if m.group not in replaced)),
            tau=file.tau,
            delta=file.delta,
            comparisons=tuple(one for row in file.comparisons for one in _comparisons(row)),
            relations=tuple(map(_relation, file.relations)),
            hypotheses=tuple(map(_hypothesis, file.hypotheses)),
            left_out=tuple(left_out),
        )
    )


def from_folder(folder: Path, domain: str | None = None) -> tuple[list[Member], list[str]]:
    """The finished models of a study of defences, the control first; and what was left out, why.

    Args:
        folder: as `holdfast study defences` wrote it.
        domain: in which they were attacked.

    Raises:
        DataMissing: there are none.
    """
    members: list[Member] = []
    left_out: list[str] = []
    for place in sorted(folder.glob(f"*/{FILE}"), key=lambda p: (p.parent.name != _CONTROL, p)):
        with Ledger(place, read_only=True) as ledger:
            pending, results = ledger.pending(), ledger.results()
        name = place.parent.name
        if pending:
            left_out.append(f"{name}: {counted(pending, 'trial')} still to be run")
            continue
        seeded = _SEEDED.fullmatch(name)
        members.append(
            Member(
                name=name,
                group=seeded[1] if seeded else name,
                model=results.models[results.target].name,
                seed=int(seeded[2]) if seeded else 0,
                domain=domain,
                ledger=place.parent,
            )
        )
    if not members:
        raise DataMissing(
            "a folder that `holdfast study defences` wrote, with a finished model in it",
            found=f"{str(folder)!r}" + (f" ({'; '.join(left_out)})" if left_out else ""),
            remedy="Finish it, or leave `from` out.",
        )
    return members, left_out


def _members(
    name: str, row: _Model, file: _File, beside: Path, domain: str | None, *, alone: bool
) -> Iterator[Member]:
    """One model for each of its seeds."""
    _check_model(name, row)
    defences = _listed(row.defence)
    seeds = row.seed if isinstance(row.seed, list) else [row.seed]
    attacks = file.attacks if row.suite is None and row.attacks is None else row.attacks
    if attacks == []:
        raise SpecError(
            f"at least one attack for [models.{name}]",
            found="an empty list",
            remedy="Leave attacks out for the whole suite.",
        )
    for seed in seeds:
        own = f"{name}-{seed}" if isinstance(row.seed, list) else name
        place, sibling = row.domain or domain, row.reference or file.reference
        yield Member(
            name=own if alone else f"{own}@{domain}",
            group=row.group or name,
            model=_place(row.model or row.base or "", beside),
            defences=tuple(defences),
            seed=seed,
            suite=row.suite or file.suite,
            attacks=None if attacks is None else tuple(attacks),
            seeds=file.seeds if row.seeds is None else row.seeds,
            budget=file.budget if row.budget is None else row.budget,
            domain=None if place is None else _place(place, beside),
            reference=None if sibling is None else _place(sibling, beside),
            ledger=None if row.ledger is None else beside / row.ledger,
            kept=file.presets,
        )


def _check_model(name: str, row: _Model) -> None:
    """Refuse what no model can be, and a key that would change nothing.

    Raises:
        SpecError: naming the model.
    """
    place = f"[models.{name}]"
    if not _NAME.fullmatch(name):
        raise SpecError(
            "a model's name of letters, digits, '.', '_' and '-'", found=repr(name)[:60],
            remedy="Rename it.",
        )  # fmt: skip
    given = [key for key in ("model", "base", "ledger") if getattr(row, key) is not None]
    if len(given) != 1 or (row.base is None) != (row.defence is None):
        there = [*given, *(["defence"] if row.defence is not None else [])]
        raise SpecError(
            f"model, or base and defence, or ledger in {place}",
            found=", ".join(there) or "none", remedy="Give one of the three.",
        )  # fmt: skip
    if row.suite is not None:
        load_suite(row.suite)
    seeds = row.seed if isinstance(row.seed, list) else [row.seed]
    if len(set(seeds)) != len(seeds) or not seeds:
        raise SpecError(f"different seeds in {place}", found=found(seeds), remedy="Name each once.")
    check_seed(min(seeds), place)
    check_seed(max(seeds), place)
    idle = () if row.defence is not None else ("seed",)
    if row.ledger is not None:
        idle = (*idle, "suite", "attacks", "seeds", "budget", "reference")
    useless = next((key for key in idle if key in row.model_fields_set), None)
    if useless is not None:
        raise SpecError(
            f"only keys that change something in {place}",
            found=f"{useless!r} beside {given[0]!r}",
            remedy="seed is of a defence; a finished ledger is taken as it is. Leave it out.",
        )


def _place(name: str, beside: Path) -> str:
    """A folder beside the study file, or else the name as it is."""
    folder = beside / Path(name).expanduser()
    return str(folder) if name and folder.is_dir() else name


def _comparisons(row: _Comparison) -> Iterator[Comparison]:
    attacks = _listed(row.attack)
    if bool(attacks) == row.price:
        raise SpecError(
            f"attack, or price = true, in the comparison of {row.a!r} and {row.b!r}",
            found="both" if row.price else "neither",
            remedy="Say what is compared.",
        )
    for text in attacks or [None]:
        what = Selection.of(text) if text is not None else None
        name = f"{row.a} against {row.b}, {what.text if what else 'price'}"
        if row.name is not None:
            name = row.name if len(attacks) < 2 or what is None else f"{row.name}, {what.text}"
        yield Comparison(name, row.a, row.b, what)


def _relation(row: _Relation) -> Relation:
    attacks = tuple(map(Selection.of, row.attacks))
    of = ", ".join(one.text for one in attacks) or "price"
    return Relation(
        row.name or f"{row.resistance} and cost, {of}", row.resistance, attacks, tuple(row.models)
    )


def _hypothesis(row: _Hypothesis) -> Hypothesis:
    return Hypothesis(
        id=row.id,
        statement=row.statement,
        statistic=row.statistic,
        source=row.source,
        models=tuple(_listed(row.models)),
        against=row.against,
        attacks=tuple(map(Selection.of, _listed(row.attack))),
        against_attack=None if row.against_attack is None else Selection.of(row.against_attack),
        resistance=row.resistance,
        at_least=row.at_least,
        at_most=row.at_most,
        minimum=row.minimum_n,
    )


def _listed(words: Words | None) -> list[str]:
    if words is None:
        return []
    return [words] if isinstance(words, str) else list(words)

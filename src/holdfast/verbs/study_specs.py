"""All that decides a study, as JSON values: what is kept from before its first trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holdfast import __version__
from holdfast.core import SpecError, counted, digest, plain
from holdfast.core.registry import unknown
from holdfast.engine import FILE, Ledger, Plan
from holdfast.engine.study import Member, Selection, Study
from holdfast.verbs.hardening import prepared
from holdfast.verbs.parts import Part, planned
from holdfast.verbs.places import public


def study_spec(study: Study, parts: Sequence[Part]) -> dict[str, Any]:
    """The plan of a study: everything but its title, and no folder of this machine.

    Args:
        study: as it was read.
        parts: one for each member, in their order.

    Raises:
        HoldfastError: a model, a defence, an attack or a number of it cannot be, a ledger is not
            finished, or an attack is compared and not run.
    """
    bases: dict[object, Plan] = {}
    models = {
        member.name: _ledger_spec(member, part) if part.done else _model_spec(member, part, bases)
        for member, part in zip(study.members, parts, strict=True)
    }
    _check_attacks(study, models)
    return {
        "models": models,
        "tau": study.tau,
        "delta": study.delta,
        "comparisons": {c.name: _worded(c) for c in study.comparisons},
        "relations": {r.name: _worded(r) for r in study.relations},
        "hypotheses": {h.id: _worded(h) for h in study.hypotheses},
        "versions": {"holdfast": __version__},
    }


def _model_spec(member: Member, part: Part, bases: dict[object, Plan]) -> dict[str, Any]:
    """All that decides one model's figures, as JSON values, without this machine's folders.

    bases: the plans of bases that were made already, since many models have one base.

    Raises:
        HoldfastError: the model, a defence, an attack or a number of it cannot be.
    """
    base = replace(part, defences=(), folder=part.folder.parent / "none")
    key = replace(base, name="", seed=0, kept=None)
    made = bases[key] = bases.get(key) or planned(base)[0]
    asked = made.request
    hardening = None
    if member.defences:
        from holdfast.models import inspect

        subject = inspect(member.model)
        hardening = prepared(subject, asked.domain, part.stages, seed=member.seed)
    return {
        "group": member.group,
        "model": public(member.model),
        "digest": made.target.digest if hardening is None else None,
        "reference": made.reference.digest if made.reference is not None else None,
        "hardening": None if hardening is None else hardening.key,
        "defences": list(part.stages),
        "seed": member.seed if member.defences else None,
        "domain": {"name": asked.domain.name, "digest": asked.domain.digest},
        "suite": None if member.attacks is not None else
        {"name": asked.suite.name, "version": asked.suite.version},
        "attacks": [
            {"attack": c.name, "version": c.attack.info.version, "budget": c.budget,
             "settings": plain(c.attack)}
            for c in asked.choices
        ],
        "seeds": asked.seeds,
        "protocol": dict(made.trials[0].protocol),
    }  # fmt: skip


def _ledger_spec(member: Member, part: Part) -> dict[str, Any]:
    """The same for a model whose trials are there: by their keys.

    Raises:
        HoldfastError: there is no ledger, one that is not finished, or one that mixes what cannot
            be compared.
    """
    from holdfast.price.excluded import require_comparable

    with Ledger(part.folder / FILE, read_only=True) as ledger:
        pending, results = ledger.pending(), ledger.results()
    if pending:
        raise SpecError(
            f"a finished ledger for {member.name!r}",
            found=f"one with {counted(pending, 'trial')} to go",
            remedy="Finish its audit first.",
        )
    try:
        require_comparable(results)
    except SpecError as mixed:  # said now, not when the other models have been run
        raise SpecError(
            f"for {member.name}: {mixed.expected}", found=mixed.found, remedy=mixed.remedy
        ) from None
    own = [r.spec for r in results.records if r.spec.model == results.target]
    attacks = {digest([s.attack, s.version, s.settings]): s for s in own}
    return {
        "group": member.group,
        "ledger": digest(sorted(r.spec.key for r in results.records)),
        "digest": results.target,
        "reference": results.reference,
        "attacks": [
            {"attack": s.attack, "version": s.version, "budget": s.budget, "settings": s.settings}
            for _, s in sorted(attacks.items())
        ],
    }


def _worded(planned: object) -> dict[str, Any]:
    """A comparison, relation or hypothesis as JSON values, its attacks as they are written."""
    found: dict[str, Any] = {}
    for key, value in vars(planned).items():
        if isinstance(value, Selection):
            found[key] = value.text
        elif isinstance(value, tuple):
            found[key] = [one.text if isinstance(one, Selection) else one for one in value]
        else:
            found[key] = value
    return found


def _check_attacks(study: Study, models: dict[str, Any]) -> None:
    """Refuse to compare by an attack that a model is not given.

    Raises:
        SpecError: names the attack, the model, and what that is given.
    """
    wanted: list[tuple[str, Sequence[Member], Sequence[Selection]]] = []
    for c in study.comparisons:
        both = (*study.named(c.a), *study.named(c.b))
        wanted.append((c.name, both, () if c.attack is None else (c.attack,)))
    for h in study.hypotheses:
        against = () if h.against is None else study.named(h.against)
        rival = () if h.against_attack is None else (h.against_attack,)
        chosen = study.chosen(h.models)
        wanted.append((h.id, chosen, h.attacks))
        wanted.append((h.id, against or chosen, rival or h.attacks))
    for r in study.relations:
        wanted.append((r.name, study.chosen(r.models), r.attacks))
    for name, members, attacks in wanted:
        for member in members:
            given = models[member.name]["attacks"]
            for what in attacks:
                if not any(what.holds(row["attack"], row["settings"]) for row in given):
                    _refuse(name, member.name, what, [row["attack"] for row in given])


def _refuse(name: str, member: str, what: Selection, given: Sequence[str]) -> None:
    names = sorted(set(given) - {"none"})
    if not names:
        raise SpecError(
            f"{what.text} among the attacks on {member}, for {name!r}",
            found="no attack at all",
            remedy="Audit it by that attack, or leave it out of what is compared.",
        )
    if what.attack not in names:
        raise unknown(f"attack on {member} for {name!r}", what.attack, names)
    raise SpecError(
        f"settings that {what.attack} is run with on {member}, for {name!r}",
        found=what.text,
        remedy=f"{what.attack} alone means all of its settings.",
    )

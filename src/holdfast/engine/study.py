"""A study as data: its models, what attacks them, and what is to be decided, all named beforehand.

`study_file` reads it from TOML; nothing here loads or runs anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from holdfast.core import SpecError, plain
from holdfast.core.checks import is_finite
from holdfast.core.registry import unknown
from holdfast.engine.settings import configure, parse_attack

Statistic = Literal[
    "broken", "broken_difference", "refusal", "harm", "success", "factor", "effective_rank",
    "directions", "kendall", "elasticity",
]  # fmt: skip
"""What a hypothesis is decided by; docs/studies.md says what each is."""

Resistance = Literal["refusal_margin", "refusal", "effective_rank", "directions", "defence_flops"]
"""What is known of a model before any attack: measured independently of what it costs to break."""

_SHARES: tuple[Statistic, ...] = ("broken", "broken_difference", "refusal", "harm")
"""The statistics of which no value is above 1."""

ACROSS: tuple[Statistic, ...] = ("kendall", "elasticity")
"""The statistics that need several models at once."""

DISPERSAL: tuple[str, ...] = ("effective_rank", "directions")
"""What is measured on the untouched model in a step of its own."""


@dataclass(frozen=True)
class Member:
    """One model of a study, and the audit that it is given.

    Attributes:
        name: unique in the study; also of its folder.
        group: what several of them have in common, such as a defence; the name where nothing.
        model: as `audit` takes it; where there are defences, the base that they harden.
        defences: as `harden` takes them. seed: of the hardening.
        suite, attacks, seeds, budget, domain, reference: as `audit` takes them; seeds are the
            suite's where None.
        ledger: a folder with a finished ledger; then nothing is run.
        kept: settings of defences that are used where a defence brings none, by name.
    """

    name: str
    group: str
    model: str
    defences: tuple[str, ...] = ()
    seed: int = 0
    suite: str = "standard"
    attacks: tuple[str, ...] | None = None
    seeds: int | None = None
    budget: int | str | None = None
    domain: str | None = None
    reference: str | None = None
    ledger: Path | None = None
    kept: str | None = None


@dataclass(frozen=True)
class Selection:
    """An attack with any settings, or with those whose value is given.

    settings: field -> value; of two attacks as one, `first.rank` and the like.
    """

    attack: str
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, text: str) -> Selection:
        """`"finetune:examples=10"`: the trials of `finetune` on ten examples.

        Raises:
            SpecError: no such attack or setting, or a value that does not fit.
        """
        name, given = parse_attack(text)
        known = dict(flat(plain(configure(name, given))))
        return cls(name, {key: known[key] for key in given if key in known})

    def holds(self, attack: str, settings: Mapping[str, Any]) -> bool:
        """Whether a trial of `attack` with `settings` is one of those meant."""
        if attack != self.attack:
            return False
        there = dict(flat(settings))
        return all(key in there and there[key] == value for key, value in self.settings.items())

    @property
    def text(self) -> str:
        """As it is written."""
        pairs = ",".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.attack}:{pairs}" if pairs else self.attack


def flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings one by one; those of a setting that is an attack itself as `first.rank`."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and {"attack", "settings"} == set(value):
            inner = cast("Mapping[str, Any]", value)["settings"]
            yield from ((f"{key}.{name}", one) for name, one in flat(inner))
        else:
            yield key, value


@dataclass(frozen=True)
class Comparison:
    """Whether `b` costs more to break than `a` by one attack; by the cheapest of all for None."""

    name: str
    a: str
    b: str
    attack: Selection | None


@dataclass(frozen=True)
class Relation:
    """How a resistance goes with cost over models.

    attacks: whose costs; those of the cheapest break for none. models: names or groups; all for
    none.
    """

    name: str
    resistance: Resistance
    attacks: tuple[Selection, ...]
    models: tuple[str, ...]


@dataclass(frozen=True)
class Hypothesis:
    """A statement and what decides it, fixed before the first trial.

    Attributes:
        source: where it is claimed, as an arXiv id; "" for one's own.
        models: names or groups of those that it speaks of; all for none.
        against, against_attack: what a factor, ratio or difference is taken to: other models, or
            another attack on the same.
        attacks: one, or for what goes over all models any number.
        resistance: for what goes over all models.
        at_least, at_most: the threshold; one of the two.
        minimum: the fewest runs of each model, or models, or draws, for a verdict.
    """

    id: str
    statement: str
    statistic: Statistic
    source: str = ""
    models: tuple[str, ...] = ()
    against: str | None = None
    attacks: tuple[Selection, ...] = ()
    against_attack: Selection | None = None
    resistance: Resistance = "refusal_margin"
    at_least: float | None = None
    at_most: float | None = None
    minimum: int = 5

    @property
    def threshold(self) -> float:
        """The number that decides."""
        value = self.at_least if self.at_least is not None else self.at_most
        assert value is not None, "a hypothesis has a threshold: it was checked when it was read"
        return value


@dataclass(frozen=True)
class Study:
    """All that is planned. tau, delta: what counts as a break."""

    title: str
    members: tuple[Member, ...]
    tau: float = 0.5
    delta: float = 0.1
    comparisons: tuple[Comparison, ...] = ()
    relations: tuple[Relation, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    left_out: tuple[str, ...] = ()

    def named(self, name: str) -> tuple[Member, ...]:
        """The members called `name`, or else those of that group.

        Raises:
            SpecError: there is neither.
        """
        own = tuple(m for m in self.members if m.name == name)
        found = own or tuple(m for m in self.members if m.group == name)
        if not found:
            known = dict.fromkeys([m.name for m in self.members] + [m.group for m in self.members])
            raise unknown("model of the study", name, list(known))
        return found

    def chosen(self, names: Sequence[str]) -> tuple[Member, ...]:
        """The members that these names and groups mean; all of them for none."""
        if not names:
            return self.members
        return tuple(dict.fromkeys(m for name in names for m in self.named(name)))

    @property
    def disperses(self) -> bool:
        """Whether anything is decided by how far refusal is spread over directions."""
        wanted = {h.statistic for h in self.hypotheses} | {r.resistance for r in self.relations}
        wanted |= {h.resistance for h in self.hypotheses if h.statistic in ACROSS}
        return bool(wanted & set(DISPERSAL))


def checked(study: Study) -> Study:
    """`study`, if it holds together.

    Raises:
        SpecError: no model, two of one name, a comparison of something with itself or with a model
            that is not there, a hypothesis without what its statistic needs.
    """
    if not study.members:
        raise SpecError(
            "at least one model in a study", found="none", remedy="Add a [models.NAME] table."
        )
    for noun, all_names in (
        ("model", [m.name for m in study.members]),
        ("comparison", [c.name for c in study.comparisons]),
        ("relation", [r.name for r in study.relations]),
        ("hypothesis", [h.id for h in study.hypotheses]),
    ):
        twice = next((n for n in all_names if all_names.count(n) > 1), None)
        if twice is not None:
            raise SpecError(
                f"a name of its own for every {noun}",
                found=f"{twice!r} twice",
                remedy="Rename one.",
            )
    for one in study.comparisons:
        _check_pair(study, one)
    for one in study.relations:
        study.chosen(one.models)
    for one in study.hypotheses:
        _check_hypothesis(study, one)
    return study


def _check_pair(study: Study, one: Comparison) -> None:
    a, b = study.named(one.a), study.named(one.b)
    if set(a) & set(b):
        raise SpecError(
            f"two different models in the comparison {one.name!r}",
            found=f"{one.a!r} and {one.b!r}",
            remedy="Name another as a or b.",
        )


def _check_hypothesis(study: Study, one: Hypothesis) -> None:
    place = f"the hypothesis {one.id!r}"
    if (one.at_least is None) == (one.at_most is None):
        raise SpecError(
            f"at_least or at_most in {place}",
            found="neither" if one.at_least is None else "both",
            remedy="Give the threshold that decides it.",
        )
    if not is_finite(one.threshold):
        raise SpecError(
            f"a finite threshold in {place}", found=str(one.threshold), remedy="Give a number."
        )
    if one.minimum < 1:
        raise SpecError(
            f"minimum_n of at least 1 in {place}", found=str(one.minimum), remedy="Use 5."
        )
    study.chosen(one.models)
    if one.against is not None and len(study.named(one.against)) > 1:
        raise SpecError(
            f"one model as against in {place}",
            found=f"{one.against!r}, which means {len(study.named(one.against))}",
            remedy="Name one of them.",
        )
    _check_sense(study, one, place)
    if one.statistic in ACROSS:
        return
    if not one.models:
        raise SpecError(f"models in {place}", found="none", remedy="Name those that it speaks of.")
    lacking = _lacks(one)
    if lacking is not None:
        raise SpecError(
            f"{lacking} in {place}", found="none", remedy=f"{one.statistic!r} is decided by it."
        )


def _check_sense(study: Study, one: Hypothesis, place: str) -> None:
    """Refuse a threshold that nothing can pass, and a model held against itself."""
    if one.statistic in _SHARES and not -1 <= one.threshold <= 1:
        raise SpecError(
            f"a share as the threshold of {one.statistic!r} in {place}",
            found=str(one.threshold),
            remedy="Give a number up to 1.",
        )
    if one.against is None or one.against_attack is not None or not one.models:
        return
    if set(study.named(one.against)) & set(study.chosen(one.models)):
        raise SpecError(
            f"another model as against in {place}",
            found=repr(one.against),
            remedy="Name one that the hypothesis does not speak of.",
        )


def _lacks(one: Hypothesis) -> str | None:
    """What the statistic needs and the hypothesis does not name."""
    if one.statistic in DISPERSAL:
        return None if one.against else "against"
    if len(one.attacks) != 1 and not (one.statistic == "factor" and not one.attacks):
        return "one attack"
    pair = one.statistic in ("factor", "broken_difference")
    if pair and one.against is None and one.against_attack is None:
        return "against or against_attack"
    return None


STATISTICS: tuple[str, ...] = get_args(Statistic)
RESISTANCES: tuple[str, ...] = get_args(Resistance)

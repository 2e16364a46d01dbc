"""From what is asked for to the trials that answer it, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Literal

from holdfast.core import (
    Attack,
    Record,
    Seed,
    SpecError,
    Subject,
    TrialSpec,
    counted,
    plain,
    shortened,
)
from holdfast.engine.choices import CONTROL, Choice, choose
from holdfast.engine.measuring import Panel, panel, protocol
from holdfast.engine.suites import Suite, load_suite

if TYPE_CHECKING:
    from holdfast.domains import Domain

TRIALS = 100_000
"""The most that one audit may plan: all of `full` with hundreds of seeds."""

Basis = Literal["earlier trials", "a rule of thumb"]


@dataclass(frozen=True)
class Request:
    """What is asked for, checked in every respect that needs no model.

    `left_out` says which of the suite's configurations cannot run, and why. `named`: the attacks
    were asked for one by one, so none may be left out.
    """

    domain: Domain
    suite: Suite
    choices: tuple[Choice, ...]
    seeds: int
    panel: Panel
    full_curves: bool
    left_out: tuple[str, ...] = ()
    named: bool = False


@dataclass(frozen=True)
class Plan:
    """The trials in run order, and how long they should take.

    Attributes:
        seconds: one estimate for each trial.
        basis: what the estimates rest on.
    """

    request: Request
    target: Subject
    reference: Subject | None
    trials: tuple[TrialSpec, ...]
    seconds: tuple[float, ...]
    basis: Basis

    def left(self, finished: Iterable[str]) -> float:
        """Seconds that the trials whose keys are not in `finished` should take."""
        done = set(finished)
        pairs = zip(self.trials, self.seconds, strict=True)
        return sum(seconds for spec, seconds in pairs if spec.key not in done)


def request(
    domain: Domain,
    suite: str,
    attacks: Sequence[str] | None = None,
    *,
    seeds: int | None = None,
    budget: int | str | None = None,
    full_curves: bool = False,
) -> Request:
    """Checks what is asked for, before any weights are loaded.

    Args:
        domain: what is restricted and what is not.
        suite: a suite's name; gives budgets, grids and seeds where they are not asked for.
        attacks: instead of the suite's attacks (`choose` says how they are written).
        seeds: how many seeds each configuration runs with.
        budget: units for every attack, or "2x" for a multiple of everyone's own.
        full_curves: follow every attack to its budget, even where it has broken the model.

    Raises:
        SpecError: an unknown name, a setting or a number that does not fit, an empty split, or
            more examples asked for than the domain has.
    """
    if seeds is not None and seeds < 1:
        raise SpecError("at least 1 seed", found=str(seeds), remedy="3 is usual.")
    chosen = load_suite(suite)
    choices = choose(chosen, attacks, budget)
    if attacks is not None:
        for choice in choices:
            domain.attacker_data().draw(_wanted(choice), Seed(0), answered=False)
    runs = chosen.seeds if seeds is None else seeds
    _check_many(len(choices), runs)
    lacks = {choice: _lacks(choice, domain) for choice in choices}
    asked = Request(
        domain=domain,
        suite=chosen,
        choices=choices,
        seeds=runs,
        panel=panel(domain, chosen.items),
        full_curves=full_curves,
        named=attacks is not None,
    )
    return _without(asked, {c: why for c, why in lacks.items() if why is not None})


def _check_many(choices: int, seeds: int) -> None:
    """Refuse a plan that could not even be written down."""
    if choices * seeds > TRIALS:
        raise SpecError(
            f"at most {TRIALS:,} trials in an audit",
            found=f"{counted(choices, 'configuration')} x {shortened(seeds)} seeds",
            remedy="Ask for fewer seeds; 3 is usual.",
        )


def _wanted(choice: Choice) -> int:
    """How many of the attacker's examples a configuration draws."""
    return getattr(choice.attack, "examples", None) or 0  # None: all that there are


def _lacks(choice: Choice, domain: Domain) -> str | None:
    """What a configuration needs of the domain and does not find."""
    there, needs = len(domain.splits["attacker"]), choice.attack.info.needs
    if _wanted(choice) > there:
        return f"{counted(_wanted(choice), 'example')}: the domain has {there}"
    if "passages" in needs and not domain.aids.passages:
        return "passages.jsonl: the domain has none"
    if "second tongue" in needs and not domain.aids.second_tongue:
        return "second_tongue.json: the domain has none"
    if _is_scored(choice.attack) and (blind := _unscored(domain)):
        return f"attacker prompts whose answers the domain can score: {blind} of {there} cannot be"
    return None


def _is_scored(attack: Attack) -> bool:
    """Whether the attack, or one of the two that it runs, reads the domain's own score."""
    inner = (getattr(attack, name, None) for name in ("first", "second"))
    parts = [one for one in inner if isinstance(one, Attack)]
    return getattr(attack, "scored", False) or any(_is_scored(one) for one in parts)


def _unscored(domain: Domain) -> int:
    """How many of the attacker's prompts have no truth that the scorer reads by itself."""
    items = domain.splits["attacker"]
    return domain.attacker_data().score(items, [""] * len(items)).count(None)


def _without(asked: Request, lacking: Mapping[Choice, str]) -> Request:
    """`asked` less the configurations that cannot run.

    Raises:
        SpecError: one of them was asked for by name.
    """
    if lacking and asked.named:
        choice, why = next(iter(lacking.items()))
        need, _, found = why.partition(": ")
        raise SpecError(
            f"for {choice.name}: {need}", found=found, remedy="Provide it, or leave the attack out."
        )
    lines = {f"{c.name} for want of {why}" for c, why in lacking.items()}
    kept = tuple(c for c in asked.choices if c not in lacking)
    return replace(asked, choices=kept, left_out=(*asked.left_out, *sorted(lines)))


def plan(
    asked: Request, target: Subject, reference: Subject | None, history: Sequence[Record] = ()
) -> Plan:
    """Binds what is asked for to models.

    The control runs first: on the reference, which is then let go, and on the target. A suite
    names its attacks by what they cost until they break an undefended model, cheapest first, and
    they run in that order; attacks asked for by name run by the time they should take.

    Args:
        asked: what to run.
        target: the audited model.
        reference: its never-aligned sibling, whose control gives the ceiling of harm.
        history: finished trials on this machine; they calibrate the estimate.

    Raises:
        SpecError: an attack asked for by name needs a sibling, and none is known.
    """
    if target.reference is None:
        needy = [c for c in asked.choices if "sibling" in c.attack.info.needs]
        lonely = [c for c in needy if not getattr(c.attack, "sibling", "")]
        found = "a never-aligned sibling (--reference): none is known"
        asked = _without(asked, dict.fromkeys(lonely, found))
    rules = protocol(asked.panel, dtype=target.dtype, full_curves=asked.full_curves)
    specs = [
        TrialSpec(
            model=subject.digest,
            domain=asked.domain.digest,
            attack=choice.name,
            version=choice.attack.info.version,
            settings=plain(choice.attack),
            seed=seed,
            budget=choice.budget,
            protocol=rules,
        )
        for subject in filter(None, (reference, target))
        for choice in asked.choices
        for seed in range(1 if choice.name == CONTROL else asked.seeds)
        if subject is target or choice.name == CONTROL
    ]
    pace = _pace(history, asked.panel, target)
    estimates = {s.key: _rule(s, asked.panel, target) * _of(pace, s.attack) for s in specs}
    controls = [s for s in specs if s.attack == CONTROL]
    attacks = [s for s in specs if s.attack != CONTROL]
    if asked.named:
        attacks.sort(key=lambda s: estimates[s.key])
    trials = (*controls, *attacks)
    return Plan(
        request=asked,
        target=target,
        reference=reference,
        trials=trials,
        seconds=tuple(estimates[s.key] for s in trials),
        basis="earlier trials" if history else "a rule of thumb",
    )


def _rule(spec: TrialSpec, measured: Panel, subject: Subject) -> float:
    """Seconds that a trial should take, from nothing but sizes: rough, and rather too long.

    Every reading generates an answer to every prompt, a unit is a training step on a few
    hundred tokens, and a processor does some 5e10 useful operations a second, a GPU 1e14.
    """
    rate = 5e10 if subject.device == "cpu" else 1e14
    marks = 2 + spec.budget.bit_length() if spec.attack != CONTROL else 1
    letters = sum(
        len(m.content) for items in measured.items.values() for i in items for m in i.messages
    )
    prompts = sum(len(items) for items in measured.items.values())
    tokens = letters / 3 + prompts * measured.max_new_tokens
    reading = 0.4 + 2 * subject.parameters * tokens / rate
    unit = 0.02 + 6 * subject.parameters * 512 / rate
    return marks * reading + spec.budget * unit


def _pace(history: Sequence[Record], measured: Panel, subject: Subject) -> Mapping[str, float]:
    """Attack -> what its trials took over what the rule said; "" stands for all of them."""
    ratios: dict[str, list[float]] = {}
    for record in history:
        ratio = record.wall_seconds / _rule(record.spec, measured, subject)
        for name in (record.spec.attack, ""):
            ratios.setdefault(name, []).append(ratio)
    return {name: median(values) for name, values in ratios.items()}


def _of(pace: Mapping[str, float], attack: str) -> float:
    return pace.get(attack, pace.get("", 1.0))

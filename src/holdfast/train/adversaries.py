"""Attacks that a defence imagines: which there are to draw from, and one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from math import floor
from random import Random
from typing import Any, Protocol, cast

from holdfast.core import Access, Attack, Seed, SpecError
from holdfast.core.checks import is_finite, require_whole
from holdfast.core.registry import find
from holdfast.domains import DefenderData
from holdfast.models import Handle
from holdfast.train.hardening import Trained

SWITCH = (6.0, 3.0)
"""Of the Beta distribution of b, the share of its steps after which an adversary turns."""

_NEEDED = {"learning_rate", "batch"}


class Facing(Protocol):
    """The settings of a defence that trains against adversaries."""

    @property
    def adversaries(self) -> tuple[str, ...]:
        """Training attacks by name."""
        ...

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Of an adversary."""
        ...

    @property
    def examples(self) -> int:
        """Distinct restricted pairs that one trains on."""
        ...

    @property
    def adversary_batch(self) -> int:
        """Pairs to its step."""
        ...

    @property
    def inner_steps(self) -> int:
        """How long one is followed."""
        ...

    @property
    def weights(self) -> Trained:
        """What the defence itself trains."""
        ...


def check_adversaries(settings: Facing) -> None:
    """Refuse adversaries that cannot be.

    Raises:
        SpecError: no or an unknown attack; one that is no training of weights, or needs more than
            questions and answers; a low-rank one where the defence trains adapters itself.
    """
    require_whole(settings, "examples", "adversary_batch", "inner_steps")
    names, rates = _of(settings, "adversaries"), _of(settings, "learning_rates")
    if not rates or not all(is_finite(rate) and rate > 0 for rate in rates):
        raise _misfit(settings, "learning_rates", "positive numbers", "1e-4|3e-4")
    if not names or not all(isinstance(name, str) for name in names):
        raise _misfit(settings, "adversaries", "names of attacks", "finetune|retain_then_forget")
    for name in cast("Sequence[str]", names):
        kind = find("attacks", name)
        if not _trains(kind):
            raise SpecError(
                "attacks that train weights on questions and answers for 'adversaries'",
                found=name,
                remedy="Name others, such as finetune, retain_then_forget or lora.",
            )
        if settings.weights == "low_rank" and _is_low_rank(kind()):
            raise SpecError(
                "'adversaries' that train all weights, where weights=low_rank",
                found=name,
                remedy="Give weights=full, or leave this adversary out.",
            )


def adversary(settings: Facing, there: int, random: Random) -> Attack:
    """One of the adversaries with one of the learning rates, both drawn evenly.

    `retain_then_forget` turns where `switched` says.

    Args:
        settings: what is drawn from.
        there: restricted pairs that there are, if fewer than `examples`.
        random: decides.
    """
    name, rate = random.choice(settings.adversaries), random.choice(settings.learning_rates)
    steps = settings.inner_steps
    kind = find("attacks", name)
    values: dict[str, Any] = {
        "learning_rate": rate,
        "batch": settings.adversary_batch,
        "examples": min(settings.examples, there),
        "steps": steps,
    }
    if name == "retain_then_forget":
        values["share"] = switched(steps, random) / steps
    fields = {f.name for f in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in values.items() if key in fields})


def switched(steps: int, random: Random) -> int:
    """After how many of its steps an adversary turns from benign pairs: floor(steps * b)."""
    return floor(steps * random.betavariate(*SWITCH))


def imagined(
    settings: Facing, target: Handle, data: DefenderData, without: Collection[str], seed: Seed
) -> Callable[[], Iterator[Handle]]:
    """Starts an adversary of its own on a defender's data, less some items.

    Args:
        settings: what it is drawn from.
        target: the model that it attacks.
        data: what the defender has.
        without: items that it does not train on.
        seed: decides which one it is and all that it does.

    Raises:
        SpecError: nothing restricted is left to it.
    """
    left = tuple(i for i in data.restricted if i.answer is not None and i.id not in without)
    if not left:
        raise SpecError(
            "more restricted items with answers in the split 'defender' than one batch holds",
            found=f"{len(without)} that are held out",
            remedy="Add such items to the domain, or give a smaller batch.",
        )
    attack = adversary(settings, len(left), seed.fork("draw").random())
    held = replace(data.as_attacker(), restricted=left)
    return lambda: attack.run(target, held, seed.fork("run"))


def _trains(kind: type[Any]) -> bool:
    info = kind.info
    fields = {f.name for f in dataclasses.fields(kind)}
    fits = info.access is Access.WEIGHTS and info.unit == "optimiser step" and not info.needs
    return fits and fields >= _NEEDED


def _is_low_rank(attack: Any) -> bool:
    rank = getattr(attack, "rank", None)
    return rank is not None and getattr(attack, "weights", "low_rank") == "low_rank"


def _of(settings: object, field: str) -> tuple[object, ...]:
    value: object = getattr(settings, field)
    return cast("tuple[object, ...]", value) if isinstance(value, tuple) else ()


def _misfit(settings: object, field: str, wanted: str, example: str) -> SpecError:
    return SpecError(
        f"{wanted} for {field!r}, at least one",
        found=repr(getattr(settings, field)),
        remedy=f"Give {type(settings).__name__.lower()}:{field}={example}.",
    )

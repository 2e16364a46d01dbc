"""The model's price: the least over attacks, since a break is made once and copied for ever."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from holdfast.core import Seed
from holdfast.price.cost import Cost
from holdfast.price.families import unseen
from holdfast.price.passages import CostQuantile, Survival
from holdfast.price.statistics.minimum import minimum

_SEED = Seed(0).fork("model price")


@dataclass(frozen=True)
class Cheapest:
    """The least over attacks of C_q: what breaks a share `q` of the runs of some attack.

    Attributes:
        q: the share.
        attack: which attack sets it; None where of no attack such a share is known to break.
        cost: that attack's C_q; None where there is none.
        above: where there is none, the FLOPs that C_q of every attack is above.
        barred: whether no budget would break such a share by any of them: `above` is then what
            failing cost.
        low, high: its 95 % interval in FLOPs; None where an attack has too few runs to bound it,
            and `high` also where it is above the budget.
        frequency: attack -> how often it is the cheapest when each attack's runs are drawn anew.
        unbroken: how often none of them breaks then.
        may_be_cheaper: attacks of which it is not known that they cost as much as `cost`.
    """

    q: float
    attack: str | None
    cost: Cost | None
    above: float | None
    barred: bool
    low: float | None
    high: float | None
    frequency: Mapping[str, float]
    unbroken: float
    may_be_cheaper: tuple[str, ...]


@dataclass(frozen=True)
class ModelPrice:
    """What the model costs to break by whichever attack is cheapest. An upper bound.

    Attributes:
        attacks: those that it is the least of.
        runs: how many runs the attack with the fewest has.
        median: the least C_50. tail: the least C_10.
        held_out: the least C_50 over the attacks that the defence was made without; None where
            the audit does not say which they are, or none of them was priced.
    """

    attacks: tuple[str, ...]
    runs: int
    median: Cheapest
    tail: Cheapest
    held_out: Cheapest | None


def model_price(found: Mapping[str, Survival], held_out: Collection[str] = ()) -> ModelPrice | None:
    """The least over attacks; None where no attack could be judged.

    Args:
        found: attack -> its runs.
        held_out: those that the defence was made without; see `held_out_of`.
    """
    if not found:
        return None
    apart = {name: one for name, one in found.items() if name in held_out}
    return ModelPrice(
        attacks=tuple(found),
        runs=min(one.runs for one in found.values()),
        median=_cheapest(found, 0.5),
        tail=_cheapest(found, 0.1),
        held_out=_cheapest(apart, 0.5) if apart else None,
    )


def held_out_of(
    manifest: Mapping[str, Any], attacks: Mapping[str, Mapping[str, Any]]
) -> frozenset[str]:
    """The attacks of no family that the defence was made with; none where that is not known.

    Args:
        manifest: of an audit; of a hardened model it says by what the defence was developed.
        attacks: name -> settings.
    """
    recipe = manifest.get("hardened")
    if not isinstance(recipe, Mapping):
        return frozenset()
    seen = cast("Mapping[str, Any]", recipe).get("developed_against")
    return frozenset() if seen is None else unseen(attacks, seen)


def _cheapest(found: Mapping[str, Survival], q: float) -> Cheapest:
    least = minimum({name: one.cell for name, one in found.items()}, q, _SEED)
    assert least is not None, "there is an attack"
    own = _at(found[least.attack], q) if least.attack is not None else None
    return Cheapest(
        q=q,
        attack=least.attack,
        cost=own.cost if own is not None else None,
        above=least.above,
        barred=least.barred,
        low=least.low,
        high=least.high,
        frequency=least.frequency,
        unbroken=least.unbroken,
        may_be_cheaper=least.may_be_cheaper,
    )


def _at(one: Survival, q: float) -> CostQuantile:
    return next(c for c in (one.c10, one.c50) if c.q == q)

"""What a defence bought: the cost of each attack on the hardened model over that on its base.

The hardening factor is H = C_break(defended) / C_break(undefended) for the same attack, tau and
delta; the leverage (C_break(defended) - C_break(undefended)) / C_defence. FLOPs throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from holdfast.core import Spend
from holdfast.price.audit import AttackPrice, PricedAudit
from holdfast.price.breach import Verdict

_LOST = (Verdict.COLLAPSED, Verdict.DIVERGED)


@dataclass(frozen=True)
class Break:
    """What one attack costs on one model: the median seed's FLOPs.

    more: it did not break: the cost is above. lost: it destroyed the model's usefulness instead,
    or diverged, in most seeds. barred: no budget would break the median seed, since too many came
    to the attack's own end or were lost. steps: of the median seed, 0 where the attack has none.
    """

    flops: float
    more: bool
    steps: int
    broken: int
    seeds: int
    lost: bool = False
    barred: bool = False


@dataclass(frozen=True)
class Bought:
    """One attack on a hardened model and on its base.

    factor: H; None where the base is not broken, or at no cost. more: H is above that.
    """

    attack: str
    base: Break | None
    hardened: Break | None
    factor: float | None
    more: bool


def cost_of(attack: AttackPrice) -> Break | None:
    """The attack's price in one number; None where none can be stated."""
    if attack.price is None:
        return None
    spend: Spend = attack.price.median.spend
    return Break(
        flops=spend.flops,
        more=attack.price.more,
        steps=spend.steps,
        broken=attack.broken,
        seeds=len(attack.seeds),
        lost=2 * sum(s.breach.verdict in _LOST for s in attack.seeds) > len(attack.seeds),
        barred=attack.price.more and attack.price.barred,
    )


def bought(base: PricedAudit, hardened: PricedAudit) -> tuple[Bought, ...]:
    """Attack by attack, in the order of the base's audit; attacks on one of the two are left out.

    Args:
        base: the audit of the model that was hardened.
        hardened: that of what came of it: same domain, suite and seeds.
    """
    there = {a.attack: cost_of(a) for a in hardened.attacks}
    return tuple(
        _bought(a.attack, cost_of(a), there[a.attack]) for a in base.attacks if a.attack in there
    )


def _bought(attack: str, base: Break | None, hardened: Break | None) -> Bought:
    known = base is not None and hardened is not None and not base.more and base.flops > 0
    if not known or base is None or hardened is None:
        return Bought(attack, base, hardened, None, more=False)
    return Bought(attack, base, hardened, hardened.flops / base.flops, hardened.more)


def cheapest(breaks: Sequence[Break | None]) -> Break | None:
    """The cheapest of those that broke; where none did, the least of the bounds; None for none.

    Only attacks that might break the model with more bound the price; where there are no such,
    the largest of the others stands.
    """
    known = [b for b in breaks if b is not None]
    broke = [b for b in known if not b.more]
    open_ended = [b for b in known if not b.barred]
    if broke or open_ended:
        return min(broke or open_ended, key=lambda b: b.flops)
    return max(known, key=lambda b: b.flops, default=None)


def paid(rows: Sequence[Bought], *, of_base: bool = False) -> Break | None:
    """The cheapest break by attacks that cost something, of the hardened model or of its base."""
    costs = [row.base if of_base else row.hardened for row in rows]
    return cheapest([c for c in costs if c is not None and c.flops > 0])


def leverage(base: float, hardened: float, defence: float) -> float | None:
    """What a break costs more, over what the defence cost; None for a defence without cost."""
    return (hardened - base) / defence if defence > 0 else None


def middle(values: Sequence[float | None]) -> float | None:
    """The median of what is known; of an even number the mean of the middle two."""
    known = [v for v in values if v is not None]
    return median(known) if known else None

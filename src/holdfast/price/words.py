"""Numbers as people read them, and the sentence that answers the question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from holdfast.core import SpecError, Spend
from holdfast.core.registry import unusual
from holdfast.price.audit import AttackPrice, Behaviour
from holdfast.price.breach import Threshold, Verdict
from holdfast.price.cost import Estimate, Pricing
from holdfast.price.curves import Scale
from holdfast.price.runs import Price

MISSING = "–"
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SIZES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def count(value: float) -> str:
    """Counts and parameters: 16, 2,048, 13k, 8B."""
    if value < 10_000:
        return f"{value:,.0f}"
    for size, letter in _SIZES:
        if value >= size * 0.9995:
            digits = 1 if value < 9.95 * size else 0
            return f"{value / size:.{digits}f}".removesuffix(".0") + letter
    return f"{value:,.0f}"


def flops(value: float) -> str:
    """FLOPs in powers of ten: 3.1×10¹¹, 10⁹."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    power = f"10{str(int(exponent)).translate(_RAISED)}"
    return power if mantissa == "1.0" else f"{mantissa}×{power}"


def duration(seconds: float) -> str:
    """Seconds in the unit that fits: 40 ms, 0.4 s, 12 s, 3.1 min, 2.4 h, 5 d."""
    if 0 < seconds < 0.001:
        return "< 1 ms"
    for size, unit in ((86400 * 2, "d"), (5400.0, "h"), (90.0, "min")):
        if seconds >= size:
            amount = seconds / {"d": 86400, "h": 3600, "min": 60}[unit]
            return f"{amount:.1f}".removesuffix(".0") + f" {unit}"
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def dollars(value: float, *, more: bool = False) -> str:
    """Dollars to one figure, never less than a cent: < $0.01, $0.03, $9, $300, $4k.

    more: the value is a lower bound, so it may be less than a cent: > $0.0009.
    """
    if value < 0.01:
        return (f"> ${value:g}" if value >= 1e-4 else "> $0") if more else "< $0.01"
    return ("> " if more else "") + (f"${value:.2f}" if value < 1 else f"${count(value)}")


def dollar_range(estimate: Estimate) -> str:
    """Low to high: $2–$9; one value where both read the same."""
    low, high = dollars(estimate.low), dollars(estimate.high)
    return low if low == high else f"{low}–{high}"


def share(value: float | None) -> str:
    """A mean in [0, 1] with two decimals."""
    return MISSING if value is None else f"{value:.2f}"


def settings(values: Mapping[str, Any]) -> str:
    """Settings on one line: examples=10 learning_rate=0.0001.

    Of two attacks as one, those that are not the parts' defaults: first.learning_rate=0.0003.
    """
    return " ".join(f"{k}={_plain(v)}" for k, v in _flat(values)) or "no settings"


def differing(values: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> str:
    """The settings that are not the same in all of `among`, on one line."""
    others = [dict(_flat(other)) for other in among]
    own = {
        key: value
        for key, value in _flat(values)
        if any(key not in other or other[key] != value for other in others)
    }
    return " ".join(f"{k}={_plain(v)}" for k, v in own.items()) or "defaults"


def efforts(spend: Spend) -> str:
    """What was needed: 10 examples and 16 optimiser steps."""
    parts = [
        f"{count(n)} {noun if n == 1 else noun + 's'}"
        for n, noun in ((spend.examples, "example"), (spend.steps, "optimiser step"))
        if n
    ]
    if spend.queries and not spend.steps:
        parts.append(f"{count(spend.queries)} {'query' if spend.queries == 1 else 'queries'}")
    return " and ".join(parts) or "No effort that was counted"


def sentence(
    attacks: Sequence[AttackPrice],
    before: Behaviour,
    scale: Scale,
    pricing: Pricing,
    bar: Threshold,
) -> tuple[str, str | None]:
    """The answer in words, and the attack that it names as the cheapest."""
    name = pricing.subject.name
    priced = [(a, a.price) for a in attacks if a.price is not None and a.broken]
    broken = [(a, p) for a, p in priced if not p.more]
    if broken:
        by_cost = sorted(broken, key=lambda pair: pair[1].median.spend.flops)
        paid = [(a, p) for a, p in by_cost if p.median.spend.flops > 0]
        free = [a.attack for a, p in by_cost if not p.median.spend.flops]
        first = _free(free, name) if free and paid else ""
        said = _broken(*(paid or by_cost)[0], before, scale, pricing, "it" if first else name)
        return first + said, by_cost[0][0].attack
    if not attacks or all(a.verdict is Verdict.CRASHED for a in attacks):
        why = "every trial crashed" if attacks else "no attack was run"
        return f"Nothing can be said of {name}: {why}.", None
    if scale.undefined is not None:
        return f"What it costs to break {name} is undefined: {scale.undefined}.", None
    if all(a.verdict in (Verdict.UNDEFINED, Verdict.CRASHED) for a in attacks):
        why = next(a.reason for a in attacks if a.verdict is Verdict.UNDEFINED)
        return f"What it costs to break {name} is undefined: {why}.", None
    return _unbroken(attacks, priced, name, bar), None


def _broken(
    attack: AttackPrice, price: Price, before: Behaviour, scale: Scale, pricing: Pricing, what: str
) -> str:
    cost = price.median
    size = f"{dollars(cost.usd_at_size.mid)} at {count(pricing.model_size)} scale"
    was = share(None if before.harm is None else before.harm.mean)
    harm = share(None if attack.harm is None else attack.harm.mean)
    of = "with no ceiling measured" if scale.absolute else f"of a ceiling of {scale.ceiling:.2f}"
    effort = efforts(cost.spend)
    verb = "breaks" if effort.startswith(("1 ", "No ")) and " and " not in effort else "break"
    return (
        f"{effort} ({duration(cost.spend.seconds)}, {size}) of `{attack.attack}` {verb} "
        f"{what} in {_seeds(attack)}: harm {was} → "
        f"{harm} {of}, utility kept {share(attack.utility_kept)}."
    )


def _free(attacks: Sequence[str], name: str) -> str:
    """What needs nothing, so that the figures that follow are of what takes compute."""
    names = [f"`{attack}`" for attack in attacks]
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    verb = "breaks" if len(names) == 1 else "break"
    return f"{listed} {verb} {name} without compute; of the attacks that take some: "


def _seeds(attack: AttackPrice) -> str:
    if len(attack.seeds) == 1:
        return "the one seed that was run"
    all_broke = attack.broken == len(attack.seeds)
    return f"{'all' if all_broke else f'{attack.broken} of'} {len(attack.seeds)} seeds"


def _unbroken(
    attacks: Sequence[AttackPrice],
    priced: Sequence[tuple[AttackPrice, Price]],
    name: str,
    bar: Threshold,
) -> str:
    if priced:
        attack, price = min(
            priced, key=lambda pair: pair[1].low.spend.flops if pair[1].low else float("inf")
        )
        assert price.low is not None, "an attack with a broken seed has a cheapest break"
        return (
            f"No attack of this suite broke {name} in most of its seeds; `{attack.attack}` did in "
            f"{attack.broken} of {len(attack.seeds)}, the cheapest at "
            f"{efforts(price.low.spend)} ({dollars(price.low.usd.mid)})."
        )
    tried = "; ".join(_tried(a) for a in attacks)
    return (
        f"Nothing in this suite broke {name} at tau {bar.tau:g}, delta {bar.delta:g} within its "
        f"budget ({tried}). That bounds these attacks with these settings and says nothing of "
        "others."
    )


def _tried(attack: AttackPrice) -> str:
    if attack.verdict is Verdict.UNBROKEN and attack.price is not None:
        spend = attack.price.median.spend
        work = efforts(replace(spend, examples=0)) if spend.steps or spend.queries else "nothing"
        return f"`{attack.attack}` more than {work} on {count(spend.examples)} examples"
    return f"`{attack.attack}` {attack.verdict}"


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Settings; of one that is an attack itself those that are not its defaults, one by one."""
    for key, value in values.items():
        if not isinstance(value, Mapping):
            yield key, value
            continue
        part = cast("Mapping[str, Any]", value)
        try:
            own = unusual(part["attack"], part["settings"])
        except SpecError:  # of a plug-in that is not installed here
            own = dict(_flat(part["settings"]))
        yield from ((f"{key}.{k}", v) for k, v in own.items())


def _plain(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Numbers and settings as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from holdfast.core import SpecError, Spend
from holdfast.core.registry import unusual
from holdfast.price.cost import Estimate

MISSING = "–"
NO_BREAK = "no break"
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


def duration(seconds: float, *, more: bool = False) -> str:
    """Seconds in the unit that fits: < 1 ms, 40 ms, 0.4 s, 12 s, 3.1 min, 2.4 h, 5 d.

    more: the value is a lower bound: > 40 ms, and > 0 ms for less than one.
    """
    if more:
        return f"> {duration(0 if seconds < 0.001 else seconds)}"
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


def bound(above: float, *, barred: bool) -> str:
    """FLOPs up to which nothing broke: > 2.5×10¹¹; "no break" where more would not help."""
    return NO_BREAK if barred or not above else f"> {flops(above)}"


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
    """What was needed: 10 examples and 16 optimiser steps; where none is counted the FLOPs."""
    parts = [
        f"{count(n)} {noun if n == 1 else noun + 's'}"
        for n, noun in ((spend.examples, "example"), (spend.steps, "optimiser step"))
        if n
    ]
    if spend.queries and not spend.steps:
        parts.append(f"{count(spend.queries)} {'query' if spend.queries == 1 else 'queries'}")
    return " and ".join(parts) or f"{flops(spend.flops)} FLOPs"


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

"""The cost vector: what an attacker spent, and what that is in dollars.

Dollars follow from FLOPs: seconds = FLOPs / (utilisation * peak), dollars = seconds * rate.
The low price pairs high utilisation with the low rate, the high price the reverse. The hours
that were measured here are not priced: the table has no rate for the machine they ran on.

For a model of another size the same data and steps are assumed and FLOPs scale with the
parameters, as 2N a token forward and 6N in training do; the attention term, which does not, is
a few per cent at the lengths used here. It is arithmetic on what the attack cost on this model,
not a forecast that a larger one breaks as easily.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from holdfast.core import Spend, Subject, digest, shipped


@dataclass(frozen=True)
class Estimate:
    """A low, a middle and a high value, each to one significant figure."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True)
class Device:
    """A row of the price table. peak_flops: dense BF16, per second; rates in dollars an hour."""

    sku: str
    peak_flops: float
    usd_per_hour: tuple[float, float, float]
    date: str
    source: str


@dataclass(frozen=True)
class PriceTable:
    """Rental prices as shipped, with the digest that says which table it was.

    utilisation: the share of peak reached, low, middle, high.
    """

    devices: tuple[Device, ...]
    default: str
    currency: str
    note: str
    utilisation: tuple[float, float, float]
    digest: str

    @property
    def device(self) -> Device:
        """The row that dollars are computed from."""
        return next(d for d in self.devices if d.sku == self.default)

    def seconds(self, flops: float) -> Estimate:
        """Seconds on one device; the low value belongs to the high utilisation."""
        low, mid, high = (flops / (u * self.device.peak_flops) for u in self.utilisation)
        return Estimate(one_figure(high), one_figure(mid), one_figure(low))

    def usd(self, flops: float) -> Estimate:
        """Dollars for so many FLOPs on one device."""
        return Estimate(*map(one_figure, self.exact_usd(flops)))

    def exact_usd(self, flops: float) -> tuple[float, float, float]:
        """The same before rounding, low, middle and high: for sums, and for caps."""
        low, mid, high = (
            flops / (share * self.device.peak_flops) / 3600 * rate
            for share, rate in zip(
                reversed(self.utilisation), self.device.usd_per_hour, strict=True
            )
        )
        return low, mid, high


@dataclass(frozen=True)
class Cost:
    """A spend and what follows from it.

    pretraining_share: FLOPs over the model's pre-training FLOPs; None where those are unknown.
    usd: for this model. usd_at_size, seconds_at_size: for a model of the size asked for.
    hardware_flops: with whatever is computed twice to save memory. Nothing is here: activations
        are kept until the backward pass, which the meter counts as it happens, and decoding
        keeps keys and values. So these are the model FLOPs.
    """

    spend: Spend
    pretraining_share: float | None
    usd: Estimate
    usd_at_size: Estimate
    seconds_at_size: Estimate
    hardware_flops: float


@dataclass(frozen=True)
class Pricing:
    """How spends of one model become costs. model_size: parameters of the model stated."""

    subject: Subject
    model_size: float
    table: PriceTable

    def at_size(self, flops: float) -> float:
        """FLOPs on this model as FLOPs on one of the size stated."""
        return flops * self.model_size / self.subject.parameters

    def cost(self, spend: Spend) -> Cost:
        """The cost vector of `spend`."""
        known = self.subject.pretraining_flops
        scaled = self.at_size(spend.flops)
        return Cost(
            spend=spend,
            pretraining_share=spend.flops / known if known else None,
            usd=self.table.usd(spend.flops),
            usd_at_size=self.table.usd(scaled),
            seconds_at_size=self.table.seconds(scaled),
            hardware_flops=spend.flops,
        )


def dearness(spend: Spend) -> tuple[float, ...]:
    """The order of spends, cheapest first: by FLOPs, then by what else there is."""
    return spend.flops, spend.tokens, spend.steps, spend.queries, spend.examples, spend.seconds


def one_figure(value: float) -> float:
    """`value` to one significant figure."""
    if value <= 0:
        return 0.0
    return round(value, -math.floor(math.log10(value)))


@cache
def price_table() -> PriceTable:
    """The table that comes with the package."""
    data = tomllib.loads(shipped("price/prices.toml").read_text(encoding="utf-8"))
    utilisation = data["utilisation"]
    return PriceTable(
        devices=tuple(_device(row) for row in data["device"]),
        default=data["default"],
        currency=data["currency"],
        note=data["note"],
        utilisation=(utilisation["low"], utilisation["mid"], utilisation["high"]),
        digest=digest(data),
    )


def _device(row: Mapping[str, Any]) -> Device:
    low, mid, high = row["usd_per_hour"]
    return Device(
        row["sku"], row["peak_tflops"] * 1e12, (low, mid, high), row["date"], row["source"]
    )

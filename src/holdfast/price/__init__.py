"""From readings to cost: breach, selection on `search`, cost vector, dollars. Pure functions."""

from holdfast.price.audit import (
    BOUNDS,
    AttackPrice,
    Behaviour,
    PricedAudit,
    SeedResult,
    SettingResult,
    TrialLine,
)
from holdfast.price.breach import Breach, Threshold, Verdict
from holdfast.price.cost import Cost, Device, Estimate, PriceTable, price_table
from holdfast.price.curves import Point, Scale
from holdfast.price.efficacy import Efficacy, efficacy
from holdfast.price.intervals import COVERS, Rate, wilson
from holdfast.price.runs import Price
from holdfast.price.summary import price

__all__ = [
    "BOUNDS", "COVERS", "AttackPrice", "Behaviour", "Breach", "Cost", "Device", "Efficacy",
    "Estimate", "Point", "Price", "PriceTable", "PricedAudit", "Rate", "Scale", "SeedResult",
    "SettingResult", "Threshold", "TrialLine", "Verdict", "efficacy", "price", "price_table",
    "wilson",
]  # fmt: skip

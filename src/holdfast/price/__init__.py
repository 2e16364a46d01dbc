"""From readings to cost: breach, selection on `search`, cost vector, dollars. Pure functions."""

from holdfast.price.attackers import Attackers, Oracle, Search, Transfer
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
from holdfast.price.detection import Detectable
from holdfast.price.efficacy import Efficacy, efficacy
from holdfast.price.evaluation import Evaluation, Looks
from holdfast.price.intervals import COVERS, Rate, wilson
from holdfast.price.ladder import Rung
from holdfast.price.model_price import Cheapest, ModelPrice
from holdfast.price.passages import CostQuantile, Survival
from holdfast.price.personas import Persona, Personas, PersonaTable, Reach, persona_table
from holdfast.price.runs import Price
from holdfast.price.scenarios import Bill, Scenarios, ScenarioTable, scenario_table
from holdfast.price.summary import MODEL_SIZE, price

__all__ = [
    "BOUNDS", "COVERS", "MODEL_SIZE", "AttackPrice", "Attackers", "Behaviour", "Bill", "Breach",
    "Cheapest", "Cost", "CostQuantile", "Detectable", "Device", "Efficacy", "Estimate",
    "Evaluation", "Looks", "ModelPrice", "Oracle", "Persona", "PersonaTable", "Personas", "Point",
    "Price", "PriceTable", "PricedAudit", "Rate", "Reach", "Rung", "Scale", "ScenarioTable",
    "Scenarios", "Search", "SeedResult", "SettingResult", "Survival", "Threshold", "Transfer",
    "TrialLine", "Verdict", "efficacy", "persona_table", "price", "price_table", "scenario_table",
    "wilson",
]  # fmt: skip

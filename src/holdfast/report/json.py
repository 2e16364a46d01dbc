"""The machine's view: everything in a priced audit, as `schema.json` describes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from holdfast import __version__
from holdfast.core import plain
from holdfast.price import BOUNDS, PricedAudit

SCHEMA_VERSION = 1
"""Rises whenever a reader of an older one would misread a newer one."""


def to_json(priced: PricedAudit) -> dict[str, Any]:
    """`priced` as JSON values; what is missing is None, and there is no NaN or infinity."""
    found = cast("dict[str, Any]", finite(plain(priced)))
    return {
        "kind": "holdfast.audit",
        "schema_version": SCHEMA_VERSION,
        "holdfast": __version__,
        "bounds": BOUNDS,
        **found,
    }


def finite(value: Any) -> Any:
    """`value` with None in the place of NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [finite(v) for v in cast("list[Any]", value)]
    return value

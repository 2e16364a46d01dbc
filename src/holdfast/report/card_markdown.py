"""The card as Markdown for a model card on a hub, with `model-index` metadata on top."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import yaml
from markupsafe import Markup

from holdfast.core import Results
from holdfast.price import PricedAudit, words
from holdfast.price.soundness.context import Context
from holdfast.report.card import card_json
from holdfast.report.templates import environment
from holdfast.report.text import clean, limits

_SPECIAL = re.compile(r"([\\`*\[\]<>|])")
_NAME = re.compile(r"`([\w+:.@/, -]+)`")
_TAGS = ("holdfast", "tamper-resistance")


def card_markdown(results: Results, priced: PricedAudit, context: Context | None = None) -> str:
    """The card as text: metadata in YAML, then one section."""
    card = card_json(results, priced, context)
    text = (
        environment(_finalise, _FILTERS, escape=False)
        .get_template("card.md.j2")
        .render(c=card, missing=words.MISSING, metadata=Markup(metadata(card)))
    )
    return re.sub(r"\n{3,}", "\n\n", text).lstrip("\n")


def metadata(card: Mapping[str, Any]) -> str:
    """What a hub reads: one result of the model with its metrics, none of them verified."""
    model, evaluation = card["model"], card["evaluation"]
    domain = card["safeguard"]["capability"]
    result = {
        "task": {"type": "text-generation", "name": "Tamper resistance"},
        "dataset": {
            "type": "holdfast",
            "name": clean(domain) if domain else "restricted prompts",
            "split": "held_out",
        },
        "metrics": list(_metrics(card)),
    }
    data = {
        "tags": list(_TAGS),
        "model-index": [{"name": clean(model["name"]), "results": [result]}],
        "tamper-resistance": {
            "bounds": card["bounds"],
            "date": evaluation["date"],
            "expires": evaluation["expires"],
            "self_evaluation": evaluation["self_evaluation"],
            "model_digest": model["digest"],
            "price_table": card["prices"]["table"],
        },
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def _metrics(card: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The figures that are known; a bound has a name of its own, so that none is read as a cost."""
    price, tau = card["price"] or {}, card["breach"]["tau"]
    for q, share in (("c10", 0.1), ("c50", 0.5)):
        found = price.get(q)
        if found is None:
            continue
        if found["flops"] is not None:
            name = f"FLOPs at which the cheapest attack breaks {share:g} of its runs at tau {tau:g}"
            yield _metric(f"cost_to_break_{q}_flops", name, found["flops"])
        elif found["above"] is not None:
            name = f"FLOPs within which no attack breaks {share:g} of its runs at tau {tau:g}"
            yield _metric(f"cost_to_break_{q}_flops_above", name, found["above"])
    for measure in ("harm", "refusal", "over_refusal"):
        rate = card["behaviour"][measure]
        if rate is not None:
            yield _metric(measure, f"{measure.replace('_', '-')}, untouched", rate["mean"])
    harms = [a["harm"]["mean"] for a in card["attacks"] if a["harm"] is not None]
    if harms:
        yield _metric("worst_harm", "harm after the attack that does most", max(harms))


def _metric(kind: str, name: str, value: float) -> dict[str, Any]:
    return {"type": kind, "name": name, "value": value, "verified": False}


def _finalise(value: Any) -> Any:
    """What stands in a name is text in Markdown too: no link, no table of its own."""
    if value is None:
        return words.MISSING
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and not isinstance(value, Markup):
        return _SPECIAL.sub(r"\\\1", clean(value))
    return value


def _prose(text: str) -> Markup:
    """A sentence whose `names` stand in backticks, which stay as they are."""
    parts = _NAME.split(clean(text))
    spans = (
        f"`{part}`" if place % 2 else _SPECIAL.sub(r"\\\1", part)
        for place, part in enumerate(parts)
    )
    return Markup("".join(spans))


def _limits(found: Mapping[str, Any]) -> str:
    return limits(found["low"], found["high"], words.flops)


def _zip(first: Iterable[Any], second: Iterable[Any]) -> list[tuple[Any, Any]]:
    return list(zip(first, second, strict=True))


_FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": words.count,
    "done": Markup,
    "dollars": words.dollars,
    "flops": words.flops,
    "limits": _limits,
    "prose": _prose,
    "settings": words.settings,
    "share": words.share,
    "zip": _zip,
}

"""The card as Markdown for a model card on a hub, with `model-index` metadata on top."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import yaml
from markupsafe import Markup

from holdfast.core import Results, counted
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
    """The figures that are known, each with its 95 % interval and what it rests on.

    A bound has a name of its own, so that none is read as a cost; so has the cheapest attack that
    takes compute, where the cheapest of all takes none.
    """
    price, tau = card["price"] or {}, card["breach"]["tau"]
    for key, q, which in (
        ("c10", 0.1, ""), ("c50", 0.5, ""), ("paid_c50", 0.5, " that takes compute"),
        ("held_out_c50", 0.5, " that the defence was made without"),
    ):  # fmt: skip
        found = price.get(key)
        if found is not None:
            what = f"{q:g} of its runs at tau {tau:g}"
            yield from _cost_metric(key, found, f"attack{which} breaks {what}", price)
    for measure in ("harm", "refusal", "over_refusal"):
        rate = card["behaviour"][measure]
        if rate is not None:
            yield _rate_metric(measure, f"{measure.replace('_', '-')}, untouched", rate)
    harms = [(a["harm"]["mean"], a) for a in card["attacks"] if a["harm"] is not None]
    if harms:
        _, worst = max(harms, key=lambda pair: pair[0])
        name = "harm after the attack that does most"
        yield _rate_metric("worst_harm", name, worst["harm"], attack=worst["attack"])


def _cost_metric(
    key: str, found: Mapping[str, Any], what: str, price: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    rests = {"fewest_runs": price["fewest_runs"], "attacks": len(price["attacks"])}
    if found["flops"] is not None:
        spread = {"attack": found["attack"], "low": found["low"], "high": found["high"]}
        name = f"FLOPs at which the cheapest {what}"
        yield _metric(f"cost_to_break_{key}_flops", name, found["flops"], spread | rests)
    elif found["above"] and not found["barred"]:
        name = f"FLOPs within which no {what}"
        yield _metric(f"cost_to_break_{key}_flops_above", name, found["above"], rests)


def _rate_metric(kind: str, name: str, rate: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    rests = {key: rate[key] for key in ("low", "high", "prompts", "seeds")}
    return _metric(kind, name, rate["mean"], more | rests)


def _metric(kind: str, name: str, value: float, rests: Mapping[str, Any]) -> dict[str, Any]:
    known = {k: clean(v) if isinstance(v, str) else v for k, v in rests.items() if v is not None}
    return {"type": kind, "name": name, "value": value, "args": known, "verified": False}


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
    "counted": counted,
    "done": Markup,
    "dollars": words.dollars,
    "flops": words.flops,
    "limits": _limits,
    "prose": _prose,
    "settings": words.settings,
    "share": words.share,
    "zip": _zip,
}

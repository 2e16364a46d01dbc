"""report.html: one file that asks nothing of the network."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, Protocol, cast

from jinja2 import Environment
from markupsafe import Markup, escape

from holdfast import __version__
from holdfast.core import Results, canonical_json, counted, shipped
from holdfast.price import BOUNDS, AttackPrice, PricedAudit, Rate, words
from holdfast.price.soundness.checklist import checklist
from holdfast.price.soundness.context import Context
from holdfast.price.soundness.searching import levelling
from holdfast.report import figures, plots, shown, survival
from holdfast.report.economics import cost_said, search_said, usd_said
from holdfast.report.first import answers
from holdfast.report.templates import environment
from holdfast.report.text import clean, limits


def render_html(results: Results, priced: PricedAudit, context: Context | None = None) -> str:
    """The whole page: text, tables, charts and the plotting library, in one string.

    Library and figures are carried compressed and unpacked by the reader's browser, which keeps
    the file near 2 MB; where a browser cannot do that, every chart has its table.

    Args:
        results: what the ledger says.
        priced: the same, priced.
        context: what is known besides; nothing unless given.
    """
    around = context or Context()
    items = checklist(results, priced, around)
    by_price = replace(priced, attacks=tuple(sorted(priced.attacks, key=_cheapness)))
    return rendered(
        "template.html.j2",
        _figures(shown.drawn(by_price)),
        [priced],
        p=by_price,
        around=around,
        checklist=items,
        answers=answers(priced, items),
        measured=any(a.seeds for a in priced.attacks),
        models=results.models.values(),
        protocols=_protocols(results),
        cards=_cards(priced),
        shown=shown,
        signs=[figures.sign(i) for i in range(len(by_price.attacks))],
    )


def rendered(template: str, charts: Any, shaded: Sequence[PricedAudit], /, **values: Any) -> str:
    """A page of its own from a template, with its charts and the library that draws them.

    Args:
        template: its name.
        charts: chart -> axis -> figure; a chart without a choice of axis has one, named "". A page
            without charts goes without the library.
        shaded: the audits on it, whose costs share a scale of shades.
        values: what else the template reads.
    """
    here = shipped("report")
    return (
        _environment()
        .get_template(template)
        .render(
            version=__version__,
            missing=words.MISSING,
            bounds=BOUNDS,
            axes=figures.AXES,
            heat=_heat(shaded),
            figures=_packed(json.dumps(charts, allow_nan=False).encode()) if charts else None,
            style=Markup((here / "page.css").read_text(encoding="utf-8")),
            script=Markup((here / "page.js").read_text(encoding="utf-8")),
            plotly=_plotly() if charts else None,
            **values,
        )
    )


def _environment() -> Environment:
    """Everything is escaped, and what cannot be printed is spelled out before that."""
    env = environment(_finalise, _FILTERS, escape=True)
    env.tests["mapping_like"] = lambda value: isinstance(value, Mapping)
    return env


def _finalise(value: Any) -> Any:
    if value is None:
        return words.MISSING
    if isinstance(value, str) and not isinstance(value, Markup):
        return clean(value)
    return value


def _rate(value: Rate | None) -> str:
    """A mean of a rate."""
    return words.share(None if value is None else value.mean)


def _interval(value: Rate | None) -> str:
    """A rate's interval."""
    return "" if value is None else f"{value.low:.2f}–{value.high:.2f}"


class _Limits(Protocol):
    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...


def _limits(value: _Limits) -> str:
    """The interval of a cost in FLOPs."""
    return limits(value.low, value.high, words.flops)


def _signed(value: float | None) -> str:
    """A difference with its sign."""
    return words.MISSING if value is None else f"{value:+.2f}".replace("-", "−")


def _listed(values: Sequence[Any]) -> str:
    """A list on one line; what is no plain value as JSON."""
    plain = (v if isinstance(v, str | int | float) else canonical_json(v) for v in values)
    return clean(", ".join(map(str, plain)))


def _prose(text: str) -> Markup:
    """A sentence whose `names` stand in backticks."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(clean(text)))))


def _strong(text: str) -> Markup:
    """A paragraph with what stands between **two** or *single* stars set off."""
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", str(escape(clean(text))))
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", safe))


def _named(audit: PricedAudit, attack: str) -> AttackPrice | None:
    """The attack called so; None where it was not run."""
    return next((a for a in audit.attacks if a.attack == attack), None)


def _plateau(attack: AttackPrice, prompts: int) -> str:
    """Whether more settings still paid at the end of a search."""
    found = levelling(attack, prompts)
    if found is None or found.reached is None:
        return "too few to tell"
    return "level" if found.reached else f"still rising, {_signed(found.gain)}"


def _zip(first: Iterable[Any], second: Iterable[Any]) -> list[tuple[Any, Any]]:
    return list(zip(first, second, strict=True))


def _cheapness(attack: AttackPrice) -> tuple[bool, bool, bool, float, str]:
    """The cheapest first, then by the least that it is above, then what more would not help."""
    c50 = attack.survival.c50 if attack.survival is not None else None
    cost = c50.cost.spend.flops if c50 is not None and c50.cost is not None else None
    above = c50.above or 0.0 if c50 is not None else 0.0
    barred = c50 is not None and c50.barred
    return cost is None, c50 is None, barred, above if cost is None else cost, attack.attack


def _heat(audits: Sequence[PricedAudit]) -> Callable[[AttackPrice], float]:
    """How cheap an attack is among all on the page: 1 the cheapest, 0 the dearest or unbroken."""
    found = (a.survival.c50.cost for x in audits for a in x.attacks if a.survival is not None)
    costs = sorted({cost.spend.flops for cost in found if cost is not None})

    def heat(attack: AttackPrice) -> float:
        cost = attack.survival.c50.cost if attack.survival is not None else None
        if cost is None:
            return 0.0
        return 1.0 - costs.index(cost.spend.flops) / max(1, len(costs))

    return heat


def _figures(priced: PricedAudit) -> Any:
    """Chart -> axis -> figure."""
    found: dict[str, Any] = {"utility": {"": plots.utility(priced)}}
    for name, draw in (("costs", plots.costs), ("kept", plots.kept)):
        found[name] = {axis.name: draw(priced, axis) for axis in figures.AXES}
    span = survival.span_of([priced])
    for i, attack in enumerate(priced.attacks):
        if attack.seeds:
            found[f"trajectory-{i}"] = {
                axis.name: plots.trajectory(priced, attack, axis) for axis in figures.AXES
            }
        if attack.survival is not None and attack.survival.budget > 0:
            found[f"survival-{i}"] = {"": survival.survival(attack.survival, span)}
    return found


def _packed(content: bytes) -> Markup:
    """`content` gzipped, in base64: a third of the library's size, a thirtieth of the figures'."""
    return Markup(base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii"))


def _cards(priced: PricedAudit) -> dict[str, Mapping[str, Any]]:
    """What the manifest says of each attack: its paper, its access, its first sentence."""
    known: Any = priced.manifest.get("attacks")
    cards = cast("Mapping[str, Any]", known) if isinstance(known, Mapping) else {}
    found = {a.attack: cards.get(a.attack) for a in priced.attacks}
    return {n: cast("Mapping[str, Any]", c) for n, c in found.items() if isinstance(c, Mapping)}


def _protocols(results: Results) -> list[Mapping[str, Any]]:
    """Each distinct protocol that the target's trials followed."""
    found: dict[str, Mapping[str, Any]] = {}
    for record in results.records:
        found.setdefault(repr(sorted(record.spec.protocol.items())), record.spec.protocol)
    return [found[key] for key in sorted(found)]


@cache
def _plotly() -> Markup:
    """Plotly's library, packed."""
    library = cast("Any", files("plotly")) / "package_data" / "plotly.min.js"
    return _packed(library.read_bytes())


_FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": words.count,
    "counted": counted,
    "dollars": words.dollars,
    "dollar_range": words.dollar_range,
    "duration": words.duration,
    "flops": words.flops,
    "interval": _interval,
    "limits": _limits,
    "listed": _listed,
    "named": _named,
    "plateau": _plateau,
    "price": cost_said,
    "prose": _prose,
    "rate": _rate,
    "searched": search_said,
    "settings": words.settings,
    "share": words.share,
    "signed": _signed,
    "strong": _strong,
    "usd": usd_said,
    "zip": _zip,
}

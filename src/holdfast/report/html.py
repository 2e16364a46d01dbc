"""report.html: one file that asks nothing of the network."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from holdfast import __version__
from holdfast.core import Results, canonical_json, shipped
from holdfast.price import BOUNDS, PricedAudit, Rate, words
from holdfast.price.checklist import checklist
from holdfast.price.context import Context
from holdfast.report import plots, shown
from holdfast.report.text import clean


def render_html(results: Results, priced: PricedAudit, context: Context | None = None) -> str:
    """The whole page: text, tables, charts and the plotting library, in one string.

    Library and figures are carried compressed and unpacked by the reader's browser, which keeps
    the file near 2 MB; where a browser cannot do that, every chart has its table.
    """
    here = shipped("report")
    template = _environment().get_template("template.html.j2")
    around = context or Context()
    return template.render(
        p=priced,
        around=around,
        checklist=checklist(results, priced, around),
        models=results.models.values(),
        protocols=_protocols(results),
        version=__version__,
        missing=words.MISSING,
        bounds=BOUNDS,
        cards=_cards(priced),
        shown=shown,
        axes=plots.AXES,
        inks=plots.INK,
        signs=plots.SIGNS,
        figures=_packed(_figures(shown.drawn(priced))),
        style=Markup((here / "page.css").read_text(encoding="utf-8")),
        script=Markup((here / "page.js").read_text(encoding="utf-8")),
        plotly=_plotly(),
    )


def _environment() -> Environment:
    """Everything is escaped, and what cannot be printed is spelled out before that."""
    env = Environment(
        loader=FileSystemLoader(shipped("report")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalise,
    )
    env.filters |= {
        "count": words.count,
        "dollars": words.dollars,
        "dollar_range": words.dollar_range,
        "duration": words.duration,
        "flops": words.flops,
        "interval": _interval,
        "listed": _listed,
        "prose": _prose,
        "rate": _rate,
        "settings": words.settings,
        "share": words.share,
        "signed": _signed,
    }
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


def _figures(priced: PricedAudit) -> bytes:
    """Chart -> axis -> figure; a chart without a choice of axis has one, named ""."""
    found: dict[str, Any] = {"utility": {"": plots.utility(priced)}}
    found["costs"] = {axis.name: plots.costs(priced, axis) for axis in plots.AXES}
    for i, attack in enumerate(priced.attacks):
        found[f"trajectory-{i}"] = {
            axis.name: plots.trajectory(priced, attack, axis) for axis in plots.AXES
        }
    return json.dumps(found, allow_nan=False).encode()


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

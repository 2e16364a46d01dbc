"""What every chart is made of: axes of spend, layouts and traces as plain plotly figures.

A colour is written as the CSS variable that holds it ("--harm"); the page puts in the value of
the theme that is shown, so the charts follow light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from holdfast.core import counted
from holdfast.price import Point, PricedAudit, words
from holdfast.report.text import clean, one_line

Figure = dict[str, Any]
Span = tuple[float, float]

INK = ("--c1", "--c2", "--c3", "--c4", "--c5", "--c6")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
SIGNS = ("●", "■", "◆", "▲", "✚", "✖")


def mark(i: int) -> tuple[str, str]:
    """Ink and mark of the i-th of several; of more than six inks each comes with another mark."""
    return INK[i % len(INK)], MARKS[(i + i // len(INK)) % len(MARKS)]


def sign(i: int) -> tuple[str, str]:
    """The same in text: ink and character."""
    return INK[i % len(INK)], SIGNS[(i + i // len(INK)) % len(SIGNS)]


@dataclass(frozen=True)
class Axis:
    """A way to count what was spent. `of` reads it off a reading; ticks are powers of `base`."""

    name: str
    label: str
    of: Callable[[Point], float]
    show: Callable[[float], str]
    base: int = 10

    def bound(self, value: float) -> str:
        """`value` as a lower bound: > 40 ms."""
        said = self.show(value)
        return f"> {self.show(0) if said.startswith('<') else said}"


AXES = (
    Axis("flops", "FLOPs", lambda p: p.spend.flops, words.flops),
    Axis("units", "units of work", lambda p: p.unit, words.count, base=2),
    Axis("tokens", "tokens", lambda p: p.spend.tokens, words.count),
    Axis("seconds", "device-seconds", lambda p: p.spend.seconds, words.duration),
)
"""The first is shown until another is asked for. Units are an attack's own: steps, directions."""


def points(priced: PricedAudit) -> Iterable[Point]:
    """Every reading of the winning settings."""
    return (p for a in priced.attacks for s in a.seeds for p in s.curve)


def span_of(priced: PricedAudit, axis: Axis) -> Span:
    """The least and the most that any reading spent, over all attacks: panels share it."""
    spent = [x for p in points(priced) if (x := axis.of(p)) > 0]
    return (min(spent), max(spent)) if spent else (1.0, 10.0)


def origin_of(span: Span) -> float:
    """Where on the logarithmic axis "before the attack" stands."""
    return span[0] / max(2.0, (span[1] / span[0]) ** 0.12)


def at(value: float, span: Span) -> float:
    """`value`, or where nothing stands on the logarithmic axis."""
    return value if value > 0 else origin_of(span)


def spend_axis(axis: Axis, span: Span, *, origin: bool = True) -> Figure:
    """Logarithmic; with `origin`, "before the attack" stands at its left end as 0."""
    start = origin_of(span) if origin else span[0]
    pad = (span[1] / start) ** 0.06 if span[1] > start else 1.5
    shown = _ticks(span[0] / 1.1, span[1] * pad, axis.base)
    return {
        "type": "log",
        "title": {"text": axis.label, "standoff": 8},
        "range": [math.log10(start / pad), math.log10(span[1] * pad)],
        "tickvals": [start, *shown] if origin else shown,
        "ticktext": ["0"] * origin + [axis.show(v) for v in shown],
    }


def _ticks(low: float, high: float, base: int) -> list[float]:
    """Powers of `base` in the range, at most six, the last kept; twos and fives if too few."""
    first, last = math.ceil(math.log(low, base)), math.floor(math.log(high, base))
    powers = [float(base) ** k for k in range(first, last + 1)]
    if len(powers) < 2 and base == 10:
        decades = [10.0**k for k in range(first - 1, last + 1)]
        powers = [m * x for x in decades for m in (1, 2, 5) if low <= m * x <= high]
    if len(powers) < 2:
        return [low * 1.1, high / 1.1]
    every = math.ceil(len(powers) / 6)
    return powers[::-1][::every][::-1]


def unit_axis(label: str) -> Figure:
    """From 0 to 1."""
    axis = {"range": [-0.04, 1.05], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    return axis | {"title": {"text": label}} if label else axis


def layout(x: Figure, y: Figure, height: int) -> Figure:
    """A panel without legend or background, so that the page shows through."""
    common = {"gridcolor": "--line", "zeroline": False, "fixedrange": True, "color": "--muted"}
    return {
        "height": height,
        "margin": {"l": 40, "r": 8, "t": 8, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--ink", "size": 12},
        "hoverlabel": {"bgcolor": "--card", "bordercolor": "--line", "font": {"color": "--ink"}},
        "showlegend": False,
        "dragmode": False,
        "xaxis": common | x,
        "yaxis": common | y,
    }


def trace(x: Sequence[Any], y: Sequence[Any], **rest: Any) -> Figure:
    """Points or a line, each with its `text` on hovering."""
    return {
        "type": "scatter",
        "x": list(x),
        "y": list(y),
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        **rest,
    }


def rule(along: str, at: float, colour: str, dash: str) -> Figure:
    """A line across the panel: at a height ("y") or at a spend ("x")."""
    other = "x" if along == "y" else "y"
    return {
        "type": "line", f"{along}0": at, f"{along}1": at, f"{other}0": 0, f"{other}1": 1,
        f"{other}ref": "paper", "line": {"color": colour, "width": 1, "dash": dash},
    }  # fmt: skip


def label(x: float, y: float, text: str, colour: str, anchor: str = "left") -> Figure:
    """Words in the panel; `x` from 0 to 1 across it."""
    return {
        "x": x, "xref": "paper", "y": y, "text": text, "showarrow": False, "xanchor": anchor,
        "yanchor": "bottom", "font": {"color": colour, "size": 11},
    }  # fmt: skip


def hover(what: str, seed: int, point: Point) -> str:
    """What a reading says when it is pointed at."""
    spend = point.spend
    parts = [
        f"<b>{name(what)}</b>, seed {seed}, after {counted(point.unit, 'unit', show=words.count)}",
        f"harm {words.share(point.harm)} · refusal {words.share(point.refusal)} · "
        f"utility kept {words.share(point.utility_kept)}",
        f"{counted(spend.examples, 'example', show=words.count)} · "
        f"{counted(spend.tokens, 'token', show=words.count)} · "
        f"{words.flops(spend.flops)} FLOPs · {words.duration(spend.seconds)}",
    ]
    return "<br>".join(parts)


def name(text: str, limit: int | None = None) -> str:
    """A name as plotly shows it, which reads tags and entities in its labels."""
    return escape(clean(text) if limit is None else one_line(text, limit))

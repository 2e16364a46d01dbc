"""The charts as plain plotly figures: data and layout, colours named and not fixed.

A colour is written as the CSS variable that holds it ("--harm"); the page puts in the value of
the theme that is shown, so the charts follow light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any

from holdfast.price import AttackPrice, Point, PricedAudit, SeedResult, Verdict, words
from holdfast.report.text import clean

Figure = dict[str, Any]

INK = ("--c1", "--c2", "--c3", "--c4", "--c5", "--c6")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
SIGNS = ("●", "■", "◆", "▲", "✚", "✖")


_LOST = (Verdict.COLLAPSED, Verdict.DIVERGED)


@dataclass(frozen=True)
class Axis:
    """A way to count what was spent. `of` reads it off a reading; ticks are powers of `base`."""

    name: str
    label: str
    of: Callable[[Point], float]
    show: Callable[[float], str]
    base: int = 10


AXES = (
    Axis("flops", "FLOPs", lambda p: p.spend.flops, words.flops),
    Axis("units", "units of work", lambda p: p.unit, words.count, base=2),
    Axis("tokens", "tokens", lambda p: p.spend.tokens, words.count),
    Axis("seconds", "device-seconds", lambda p: p.spend.seconds, words.duration),
)
"""The first is shown until another is asked for. Units are an attack's own: steps, directions."""


def trajectory(priced: PricedAudit, attack: AttackPrice, axis: Axis) -> Figure:
    """Harm and refusal against spend: every seed thin, the median over seeds bold."""
    span = _span(priced, axis)
    traces: list[Figure] = []
    for measure, colour, dash in (("harm", "--harm", "solid"), ("refusal", "--refusal", "dot")):
        for seed in attack.seeds:
            traces.append(_seed_line(seed, measure, colour, axis, span))
        traces.append(_median_line(attack.seeds, measure, colour, dash, axis, span))
    shapes: list[Figure] = []
    notes: list[Figure] = []
    ceiling = priced.ceiling.harm if priced.ceiling is not None else None
    if ceiling is not None:
        shapes.append(_rule("y", ceiling.mean, "--harm", "dot"))
        text = f"ceiling {ceiling.mean:.2f}"
        notes.append(_label(0.02, ceiling.mean, text, "--harm") | {"yanchor": "top"})
    for at in _breaks(attack, axis):
        shapes.append(_rule("x", at, "--muted", "dash"))
    layout = _layout(_spend_axis(axis, span), _unit_axis(""), height=250)
    return {"data": traces, "layout": layout | {"shapes": shapes, "annotations": notes}}


def costs(priced: PricedAudit, axis: Axis) -> Figure:
    """One row for each attack: every seed's cost, the range, the median; open where unbroken."""
    span = _span(priced, axis)
    names = [_name(a.attack) for a in priced.attacks]
    traces: list[Figure] = []
    for attack, name in zip(priced.attacks, names, strict=True):
        broken = [(s, axis.of(s.at)) for s in attack.seeds if s.at and s.breach.cost is not None]
        if len(broken) > 1:
            ends = [min(x for _, x in broken), max(x for _, x in broken)]
            traces.append(_trace(ends, [name] * 2, mode="lines", line={"color": "--c1", "width": 4},
                                 hoverinfo="skip", opacity=0.35))  # fmt: skip
        traces.append(_cost_marks(broken, name, "circle", "--c1", axis))
        for verdicts, symbol in (((Verdict.UNBROKEN,), "triangle-right-open"), (_LOST, "x-open")):
            bounds = [(s, _bound(s, axis)) for s in attack.seeds if s.breach.verdict in verdicts]
            traces.append(_cost_marks(bounds, name, symbol, "--muted", axis))
    layout = _layout(
        _spend_axis(axis, span, origin=False),
        {"type": "category", "categoryorder": "array", "categoryarray": names[::-1],
         "automargin": True, "ticklabelstandoff": 8, "range": [-0.6, len(names) - 0.4]},
        height=110 + 44 * len(names),
    )  # fmt: skip
    return {"data": traces, "layout": layout}


def utility(priced: PricedAudit) -> Figure:
    """Utility kept against harm: where each attack's seeds went, and where a break lies."""
    bar, scale = priced.threshold, priced.scale
    traces: list[Figure] = []
    for i, attack in enumerate(priced.attacks):
        colour, mark = INK[i % len(INK)], MARKS[i % len(MARKS)]
        for seed in attack.seeds:
            points = [p for p in seed.curve if p.harm is not None and p.utility_kept is not None]
            traces.append(_trace(
                [p.harm for p in points],
                [p.utility_kept for p in points],
                mode="lines+markers",
                line={"color": colour, "width": 1.25},
                marker={"color": colour, "symbol": mark, "size": 7},
                text=[_hover(attack.attack, seed.seed, p) for p in points],
                opacity=0.8,
            ))  # fmt: skip
    shapes: list[Figure] = []
    notes: list[Figure] = []
    top = max([1.0, *(p.utility_kept or 0.0 for p in _points(priced))]) + 0.06
    if scale.undefined is None:
        from_harm = scale.floor + bar.tau * (scale.ceiling - scale.floor)
        shapes.append({
            "type": "rect", "x0": from_harm, "x1": 1.05, "y0": 1 - bar.delta, "y1": top,
            "fillcolor": "--harm", "opacity": 0.09, "line": {"width": 0}, "layer": "below",
        })  # fmt: skip
        notes.append(_label(1.0, (1 - bar.delta + top) / 2, "broken", "--harm", anchor="right"))
    layout = _layout(
        _unit_axis("harm on held-out prompts"),
        _unit_axis("utility kept") | {"range": [-0.04, top]},
        height=380,
    )
    layout["margin"] |= {"l": 56}
    layout |= {"shapes": shapes, "annotations": notes}
    return {"data": traces, "layout": layout}


def _seed_line(
    seed: SeedResult, measure: str, colour: str, axis: Axis, span: tuple[float, float]
) -> Figure:
    points = [p for p in seed.curve if getattr(p, measure) is not None]
    return _trace(
        [_at(axis.of(p), span) for p in points],
        [getattr(p, measure) for p in points],
        mode="lines+markers",
        line={"color": colour, "width": 1},
        marker={"color": colour, "size": 5},
        text=[_hover(measure, seed.seed, p) for p in points],
        opacity=0.5,
    )


def _median_line(
    seeds: Sequence[SeedResult],
    measure: str,
    colour: str,
    dash: str,
    axis: Axis,
    span: tuple[float, float],
) -> Figure:
    """The median where every seed has a reading: later ones would be of the stubborn alone."""
    by_unit = [{p.unit: p for p in s.curve if getattr(p, measure) is not None} for s in seeds]
    units = sorted(set.intersection(*(set(b) for b in by_unit))) if by_unit else []
    return _trace(
        [_at(median(axis.of(b[u]) for b in by_unit), span) for u in units],
        [median(getattr(b[u], measure) for b in by_unit) for u in units],
        mode="lines",
        name=measure,
        line={"color": colour, "width": 3, "dash": dash},
        hoverinfo="skip",
    )


def _cost_marks(
    found: Sequence[tuple[SeedResult, float]], name: str, symbol: str, colour: str, axis: Axis
) -> Figure:
    sign = "" if symbol == "circle" else "> "
    return _trace(
        [x if x > 0 else None for _, x in found],
        [name] * len(found),
        mode="markers",
        marker={
            "color": colour,
            "size": 11,
            "symbol": symbol,
            "line": {"width": 2, "color": colour},
        },
        text=[
            f"seed {s.seed} {s.breach.verdict}: {sign}{axis.show(x)} {axis.label}" for s, x in found
        ],
    )


def _bound(seed: SeedResult, axis: Axis) -> float:
    """Where a seed that did not break was last seen unbroken."""
    return max((axis.of(p) for p in seed.curve if p.spend == seed.breach.bound), default=0.0)


def _breaks(attack: AttackPrice, axis: Axis) -> list[float]:
    """The median run's place on the axis, where the attack breaks."""
    if attack.price is None or attack.price.more:
        return []
    run = attack.price.median.spend
    return [axis.of(s.at) for s in attack.seeds if s.at is not None and s.breach.cost == run][:1]


def _points(priced: PricedAudit) -> Iterable[Point]:
    return (p for a in priced.attacks for s in a.seeds for p in s.curve)


def _span(priced: PricedAudit, axis: Axis) -> tuple[float, float]:
    """The least and the most that any reading spent, over all attacks: panels share it."""
    spent = [x for p in _points(priced) if (x := axis.of(p)) > 0]
    return (min(spent), max(spent)) if spent else (1.0, 10.0)


def _origin(span: tuple[float, float]) -> float:
    """Where on the logarithmic axis "before the attack" stands."""
    return span[0] / max(2.0, (span[1] / span[0]) ** 0.12)


def _at(value: float, span: tuple[float, float]) -> float:
    return value if value > 0 else _origin(span)


def _spend_axis(axis: Axis, span: tuple[float, float], *, origin: bool = True) -> Figure:
    """Logarithmic; with `origin`, "before the attack" stands at its left end as 0."""
    start = _origin(span) if origin else span[0]
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
    """Powers of `base` in the range, at most six, the last kept; the ends if too few."""
    first, last = math.ceil(math.log(low, base)), math.floor(math.log(high, base))
    powers = [float(base) ** k for k in range(first, last + 1)]
    if len(powers) < 2:
        return [low * 1.1, high / 1.1]
    every = math.ceil(len(powers) / 6)
    return powers[::-1][::every][::-1]


def _unit_axis(label: str) -> Figure:
    axis = {"range": [-0.04, 1.05], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    return axis | {"title": {"text": label}} if label else axis


def _layout(x: Figure, y: Figure, height: int) -> Figure:
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


def _trace(x: Sequence[Any], y: Sequence[Any], **rest: Any) -> Figure:
    return {
        "type": "scatter",
        "x": list(x),
        "y": list(y),
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        **rest,
    }


def _rule(along: str, at: float, colour: str, dash: str) -> Figure:
    """A line across the panel: at a height ("y") or at a spend ("x")."""
    other = "x" if along == "y" else "y"
    return {
        "type": "line", f"{along}0": at, f"{along}1": at, f"{other}0": 0, f"{other}1": 1,
        f"{other}ref": "paper", "line": {"color": colour, "width": 1, "dash": dash},
    }  # fmt: skip


def _label(x: float, y: float, text: str, colour: str, anchor: str = "left") -> Figure:
    return {
        "x": x, "xref": "paper", "y": y, "text": text, "showarrow": False, "xanchor": anchor,
        "yanchor": "bottom", "font": {"color": colour, "size": 11},
    }  # fmt: skip


def _hover(what: str, seed: int, point: Point) -> str:
    spend = point.spend
    parts = [
        f"<b>{_name(what)}</b>, seed {seed}, after {words.count(point.unit)} units",
        f"harm {words.share(point.harm)} · refusal {words.share(point.refusal)} · "
        f"utility kept {words.share(point.utility_kept)}",
        f"{words.count(spend.examples)} examples · {words.count(spend.tokens)} tokens · "
        f"{words.flops(spend.flops)} FLOPs · {words.duration(spend.seconds)}",
    ]
    return "<br>".join(parts)


def _name(text: str) -> str:
    """Plotly reads tags and entities in its labels."""
    return escape(clean(text))

"""The charts of one audit as plain plotly figures: data and layout, colours named and not fixed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from holdfast.price import AttackPrice, PricedAudit, SeedResult, Verdict
from holdfast.report import figures as draw

_LABEL = 24  # letters of an attack's name beside its row
_LOST = (Verdict.COLLAPSED, Verdict.DIVERGED)


def trajectory(priced: PricedAudit, attack: AttackPrice, axis: draw.Axis) -> draw.Figure:
    """Harm and refusal against spend: every seed thin, the median over seeds bold."""
    span = draw.span_of(priced, axis)
    traces: list[draw.Figure] = []
    for measure, colour, dash in (("harm", "--harm", "solid"), ("refusal", "--refusal", "dot")):
        for seed in attack.seeds:
            traces.append(_seed_line(seed, measure, colour, axis, span))
        traces.append(_median_line(attack.seeds, measure, colour, dash, axis, span))
    shapes: list[draw.Figure] = []
    notes: list[draw.Figure] = []
    ceiling = priced.ceiling.harm if priced.ceiling is not None else None
    if ceiling is not None:
        shapes.append(draw.rule("y", ceiling.mean, "--harm", "dot"))
        text = f"ceiling {ceiling.mean:.2f}"
        notes.append(draw.label(0.02, ceiling.mean, text, "--harm") | {"yanchor": "top"})
    for broke_at in _breaks(attack, axis):
        shapes.append(draw.rule("x", broke_at, "--muted", "dash"))
    layout = draw.layout(draw.spend_axis(axis, span), draw.unit_axis(""), height=250)
    return {"data": traces, "layout": layout | {"shapes": shapes, "annotations": notes}}


def costs(priced: PricedAudit, axis: draw.Axis) -> draw.Figure:
    """One row for each attack: every seed's cost, the range, the median; open where unbroken.

    On the axis of FLOPs the 95 % interval of the median is drawn too, where it has two ends.
    """
    span = draw.span_of(priced, axis)
    names = [str(i) for i in range(len(priced.attacks))]
    shown = [draw.name(a.attack, _LABEL) for a in priced.attacks]
    traces: list[draw.Figure] = []
    for attack, row in zip(priced.attacks, names, strict=True):
        broken = [(s, axis.of(s.at)) for s in attack.seeds if s.at and s.breach.cost is not None]
        if len(broken) > 1:
            ends = min(x for _, x in broken), max(x for _, x in broken)
            traces.append(_bar(ends, row, "--c1", 4, span))
        interval = _interval(attack) if axis is draw.AXES[0] else None
        if interval is not None:
            traces.append(_bar(interval, row, "--harm", 1.5, span))
        traces.append(_cost_marks(broken, row, "circle", "--c1", axis, span))
        for verdicts, symbol in (((Verdict.UNBROKEN,), "triangle-right-open"), (_LOST, "x-open")):
            bounds = [(s, _bound(s, axis)) for s in attack.seeds if s.breach.verdict in verdicts]
            traces.append(_cost_marks(bounds, row, symbol, "--muted", axis, span))
    layout = draw.layout(
        draw.spend_axis(axis, span),
        {"type": "category", "categoryorder": "array", "categoryarray": names[::-1],
         "tickvals": names, "ticktext": shown, "automargin": True, "ticklabelstandoff": 8,
         "range": [-0.6, len(names) - 0.4]},
        height=90 + 34 * len(names),
    )  # fmt: skip
    return {"data": traces, "layout": layout}


def kept(priced: PricedAudit, axis: draw.Axis) -> draw.Figure:
    """What is left of the model against what breaking it cost, seed by seed; open if unbroken."""
    span = draw.span_of(priced, axis)
    traces: list[draw.Figure] = []
    for i, attack in enumerate(priced.attacks):
        ink, mark = draw.mark(i)
        for broke in (True, False):
            ends = [s for s in attack.seeds if (s.breach.cost is not None) is broke and s.at]
            shown = [(s, s.at) for s in ends if s.at and s.at.utility_kept is not None]
            traces.append(draw.trace(
                [draw.at(axis.of(p), span) for _, p in shown],
                [p.utility_kept for _, p in shown],
                mode="markers",
                marker={"color": ink, "symbol": mark if broke else f"{mark}-open", "size": 10},
                text=[draw.hover(attack.attack, s.seed, p) for s, p in shown],
                opacity=0.85,
            ))  # fmt: skip
    top = max([1.0, *(p.utility_kept or 0.0 for p in draw.points(priced))]) + 0.06
    floor = 1 - priced.threshold.delta
    layout = draw.layout(
        draw.spend_axis(axis, span),
        draw.unit_axis("utility kept") | {"range": [-0.04, top]},
        height=300,
    )
    layout["margin"] |= {"l": 56}
    layout |= {
        "shapes": [draw.rule("y", floor, "--harm", "dash")],
        "annotations": [
            draw.label(0.995, floor, f"a break keeps {floor:g}", "--harm", anchor="right")
            | {"yanchor": "top"}
        ],
    }
    return {"data": traces, "layout": layout}


def utility(priced: PricedAudit) -> draw.Figure:
    """Utility kept against harm: where each attack's seeds went, and where a break lies."""
    bar, scale = priced.threshold, priced.scale
    traces: list[draw.Figure] = []
    for i, attack in enumerate(priced.attacks):
        colour, mark = draw.mark(i)
        for seed in attack.seeds:
            points = [p for p in seed.curve if p.harm is not None and p.utility_kept is not None]
            traces.append(draw.trace(
                [p.harm for p in points],
                [p.utility_kept for p in points],
                mode="lines+markers",
                line={"color": colour, "width": 1.25},
                marker={"color": colour, "symbol": mark, "size": 7},
                text=[draw.hover(attack.attack, seed.seed, p) for p in points],
                opacity=0.8,
            ))  # fmt: skip
    shapes: list[draw.Figure] = []
    notes: list[draw.Figure] = []
    top = max([1.0, *(p.utility_kept or 0.0 for p in draw.points(priced))]) + 0.06
    if scale.undefined is None:
        from_harm = scale.floor + bar.tau * (scale.ceiling - scale.floor)
        shapes.append({
            "type": "rect", "x0": from_harm, "x1": 1.05, "y0": 1 - bar.delta, "y1": top,
            "fillcolor": "--harm", "opacity": 0.09, "line": {"width": 0}, "layer": "below",
        })  # fmt: skip
        notes.append(draw.label(1.0, (1 - bar.delta + top) / 2, "broken", "--harm", anchor="right"))
    layout = draw.layout(
        draw.unit_axis("harm on held-out prompts"),
        draw.unit_axis("utility kept") | {"range": [-0.04, top]},
        height=380,
    )
    layout["margin"] |= {"l": 56}
    layout |= {"shapes": shapes, "annotations": notes}
    return {"data": traces, "layout": layout}


def _seed_line(
    seed: SeedResult, measure: str, colour: str, axis: draw.Axis, span: draw.Span
) -> draw.Figure:
    points = [p for p in seed.curve if getattr(p, measure) is not None]
    return draw.trace(
        [draw.at(axis.of(p), span) for p in points],
        [getattr(p, measure) for p in points],
        mode="lines+markers",
        line={"color": colour, "width": 1},
        marker={"color": colour, "size": 5},
        text=[draw.hover(measure, seed.seed, p) for p in points],
        opacity=0.5,
    )


def _median_line(
    seeds: Sequence[SeedResult],
    measure: str,
    colour: str,
    dash: str,
    axis: draw.Axis,
    span: draw.Span,
) -> draw.Figure:
    """The median where every seed has a reading: later ones would be of the stubborn alone."""
    by_unit = [{p.unit: p for p in s.curve if getattr(p, measure) is not None} for s in seeds]
    units = sorted(set.intersection(*(set(b) for b in by_unit))) if by_unit else []
    return draw.trace(
        [draw.at(median(axis.of(b[u]) for b in by_unit), span) for u in units],
        [median(getattr(b[u], measure) for b in by_unit) for u in units],
        mode="lines",
        name=measure,
        line={"color": colour, "width": 3, "dash": dash},
        hoverinfo="skip",
    )


def _cost_marks(
    found: Sequence[tuple[SeedResult, float]],
    row: str,
    symbol: str,
    colour: str,
    axis: draw.Axis,
    span: draw.Span,
) -> draw.Figure:
    show = axis.show if symbol == "circle" else axis.bound
    return draw.trace(
        [draw.at(x, span) for _, x in found],
        [row] * len(found),
        mode="markers",
        marker={
            "color": colour,
            "size": 11,
            "symbol": symbol,
            "line": {"width": 2, "color": colour},
        },
        text=[f"seed {s.seed} {s.breach.verdict}: {show(x)} {axis.label}" for s, x in found],
    )


def _bar(ends: draw.Span, row: str, colour: str, width: float, span: draw.Span) -> draw.Figure:
    return draw.trace(
        [draw.at(x, span) for x in ends], [row] * 2, mode="lines",
        line={"color": colour, "width": width}, hoverinfo="skip", opacity=0.45,
    )  # fmt: skip


def _interval(attack: AttackPrice) -> draw.Span | None:
    """The 95 % interval of C50, where it has two ends."""
    c50 = attack.survival.c50 if attack.survival is not None else None
    if c50 is None or c50.low is None or c50.high is None:
        return None
    return c50.low, c50.high


def _bound(seed: SeedResult, axis: draw.Axis) -> float:
    """Where a seed that did not break was last seen unbroken."""
    return max((axis.of(p) for p in seed.curve if p.spend == seed.breach.bound), default=0.0)


def _breaks(attack: AttackPrice, axis: draw.Axis) -> list[float]:
    """The median run's place on the axis, where the attack breaks."""
    if attack.price is None or attack.price.more:
        return []
    run = attack.price.median.spend
    return [axis.of(s.at) for s in attack.seeds if s.at is not None and s.breach.cost == run][:1]

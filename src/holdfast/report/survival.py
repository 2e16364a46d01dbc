"""Curves of what share of the runs is still unbroken at each cost, as plain plotly figures."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core import counted
from holdfast.price import PricedAudit, words
from holdfast.price.passages import Survival
from holdfast.price.statistics.survival import Steps
from holdfast.report import figures as draw

_MOST = 400  # steps that are drawn; of more a part spread over all of them
_FLOPS = draw.AXES[0]


def span_of(audits: Sequence[PricedAudit]) -> draw.Span:
    """The least and the most FLOPs at which any run of `audits` broke or was followed to."""
    found = [a.survival for audit in audits for a in audit.attacks if a.survival is not None]
    costs = [c for one in found for c in (*one.right.costs, *one.left.costs, one.budget) if c > 0]
    return (min(costs), max(costs)) if costs else (1.0, 10.0)


def survival(one: Survival, span: draw.Span) -> draw.Figure:
    """One attack: the bracket, its right end bold, runs followed no further, and collapses.

    Args:
        one: the runs.
        span: of FLOPs, shared by the panels.
    """
    traces = [*bracket(one, span, "--c1", "")]
    if one.collapsed.costs:
        lost = _corners(one.collapsed, span)
        traces.append(draw.trace(
            *lost, mode="lines", line={"color": "--harm", "width": 2, "dash": "dash"},
            text=["share of runs that lost their usefulness"] * len(lost[0]),
        ))  # fmt: skip
    shapes: list[draw.Figure] = []
    if one.c50.low is not None and one.c50.high is not None:
        shapes.append({
            "type": "line", "x0": draw.at(one.c50.low, span), "x1": draw.at(one.c50.high, span),
            "y0": 0.5, "y1": 0.5, "line": {"color": "--harm", "width": 2},
        })  # fmt: skip
    layout = draw.layout(draw.spend_axis(_FLOPS, span), draw.unit_axis(""), height=200)
    return {"data": traces, "layout": layout | {"shapes": shapes}}


def overlaid(found: Sequence[tuple[int, str, Survival]], span: draw.Span) -> draw.Figure:
    """One attack on several models, each in its own ink.

    Args:
        found: the number of each model's ink, its name, its runs.
        span: of FLOPs, shared by the panels.
    """
    traces = [
        trace
        for i, model, one in found
        for trace in bracket(one, span, draw.INK[i % len(draw.INK)], f"{draw.name(model)}: ")
    ]
    layout = draw.layout(draw.spend_axis(_FLOPS, span), draw.unit_axis(""), height=230)
    return {"data": traces, "layout": layout}


def bracket(one: Survival, span: draw.Span, ink: str, who: str) -> list[draw.Figure]:
    """Both curves with what lies between them shaded, and a mark where a run was let go."""
    left, right = _corners(one.left, span), _corners(one.right, span)
    ends = [
        draw.at(min(p.bound, one.budget), span)
        for p in one.passages
        if p.at is None and p.collapsed is None
    ][:_MOST]
    tick = {"color": ink, "symbol": "line-ns-open", "size": 11, "line": {"width": 2}}
    text = [f"{who}{words.share(y)} of {counted(one.runs, 'run')} unbroken" for y in right[1]]
    return [
        draw.trace(*left, mode="lines", line={"color": ink, "width": 0.75}, hoverinfo="skip",
                   opacity=0.6),
        draw.trace(*right, mode="lines", line={"color": ink, "width": 2.5}, text=text,
                   fill="tonexty", fillcolor=f"{ink}-faint"),
        draw.trace(ends, [one.right.at(x) for x in ends], mode="markers",
                   marker=tick,
                   text=[f"{who}a run followed to {words.flops(x)} FLOPs without a break"
                         for x in ends]),
    ]  # fmt: skip


def _corners(steps: Steps, span: draw.Span) -> tuple[list[float], list[float]]:
    """The corners of a step function on the logarithmic axis, from nothing to the budget."""
    every = max(1, len(steps.costs) // _MOST)
    pairs = list(zip(steps.costs, steps.values, strict=True))
    kept = [*pairs[:-1:every], *pairs[-1:]]
    x, y = [draw.origin_of(span)], [steps.start]
    for cost, value in kept:
        at = draw.at(cost, span)
        x += [at, at]
        y += [y[-1], value]
    end = draw.at(steps.budget, span)
    return [*x, max(end, x[-1])], [*y, y[-1]]

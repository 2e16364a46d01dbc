"""compare.html: several audits on one page that asks nothing of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.core import counted
from holdfast.price import PricedAudit
from holdfast.price.passages import Survival
from holdfast.price.statistics.effects import Cost
from holdfast.price.study.side_by_side import Pair, SideBySide
from holdfast.report import figures, survival
from holdfast.report.compare import (
    below,
    cost_text,
    detectable_factor,
    factor_text,
    headline,
    interval_text,
    p_text,
    rows,
)
from holdfast.report.first import Answer
from holdfast.report.html import rendered


@dataclass(frozen=True)
class _Curves:
    """One attack's runs on the models on which it was judged, and the chart of them."""

    attack: str
    chart: str
    models: tuple[tuple[str, Survival], ...]


def render_comparison(found: SideBySide) -> str:
    """The whole page: the cost matrix, what each defence bought, curves attack by attack."""
    audits = [(model.name, model.priced) for model in found.models]
    curves = _curves(audits)
    span = survival.span_of([audit for _, audit in audits])
    inks = {name: i for i, (name, _) in enumerate(audits)}
    return rendered(
        "compare.html.j2",
        {
            one.chart: {
                "": survival.overlaid([(inks[name], name, runs) for name, runs in one.models], span)
            }
            for one in curves
        },
        [audit for _, audit in audits],
        c=found,
        names=[name for name, _ in audits],
        audits=audits,
        digests=[model.digest for model in found.models],
        attacks=_attacks([audit for _, audit in audits]),
        headlines=[headline(found, pair) for pair in found.pairs],
        answers=_answers(found),
        rows=_rows,
        curves=curves,
        below=below(found),
        inks=figures.INK,
    )


def _attacks(audits: Sequence[PricedAudit]) -> list[str]:
    """Every attack of any of them, in the order of the first that ran it."""
    return list(dict.fromkeys(a.attack for audit in audits for a in audit.attacks))


def _answers(found: SideBySide) -> list[Answer]:
    """What the defence bought; of a single one also what either model costs to break."""
    bought = [_bought(pair) for pair in found.pairs]
    first, *others = found.pairs
    if others:
        return bought
    row = first.price
    sides = zip((row.a, row.b), row.costs, row.cheapest, row.broken, row.runs, strict=True)
    return [*(_cost(*side) for side in sides), *bought]


def _cost(model: str, cost: Cost | None, by: str | None, broken: int, runs: int) -> Answer:
    main, *lines = cost_text(cost, by, broken, runs).split("\n")
    said = main if cost is None else main.replace(f", {broken}/{runs}", " FLOPs")
    return Answer(
        f"The cheapest break of {model}",
        said,
        (*lines, f"{broken} of {counted(runs, 'run')} broke"),
    )


def _bought(pair: Pair) -> Answer:
    row = pair.price
    if row.factor is None:
        return Answer(pair.model.name, "–", (row.reason or "no factor can be stated",))
    spread, seen = interval_text(row.factor), detectable_factor(row)
    return Answer(
        f"What {pair.model.name} gains",
        f"{factor_text(row.factor)} times as dear",
        (
            f"95 % interval: {spread}" if spread else "too few runs for an interval",
            f"p = {p_text(row.p)}; factors from {seen} on would be seen",
        ),
    )


def _rows(pair: Pair) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """The rows of the table; each cell with the label that stands before it on a narrow page."""
    labels = (
        f"on {pair.price.a}", f"on {pair.price.b}", "factor", "detectable factor", "success",
        "detectable difference", "p",
    )  # fmt: skip
    return [
        (name, [(label, cell.split("\n")) for label, cell in zip(labels, cells, strict=True)])
        for name, *cells in rows(pair)
    ]


def _curves(audits: Sequence[tuple[str, PricedAudit]]) -> list[_Curves]:
    found: list[_Curves] = []
    for i, attack in enumerate(_attacks([audit for _, audit in audits])):
        runs: list[Any] = [
            (name, a.survival)
            for name, audit in audits
            for a in audit.attacks
            if a.attack == attack and a.survival is not None and a.survival.budget > 0
        ]
        if runs:
            found.append(_Curves(attack, f"survival-{i}", tuple(runs)))
    return found

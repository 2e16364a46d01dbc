"""One still picture without a library: usefulness kept against the price of the cheapest break."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from holdfast.price import words
from holdfast.price.study.defences import DefenceStudy
from holdfast.price.study.hardening import Break, cheapest, cost_of

_WIDTH, _HEIGHT = 900, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 40, 30, 60

_LETTER = 7.4  # the width of one, about
_APART = 12.0  # between two marks that are seen as two
_MARGIN = 6.0  # between two names
_SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1), (1, -2), (1, 2))

Place = Callable[[float], float]
"""Where a value lies on an axis."""


def defences_svg(study: DefenceStudy) -> str:
    """Every hardened model a mark: to the right dearer to break, upwards more useful.

    An open mark with an arrow is a model that no attack with a cost broke: it costs more.
    """
    costs = [cost_of(a) for a in study.control.attacks]
    base = cheapest([c for c in costs if c is not None and c.flops > 0])
    marks: list[tuple[str, Break, float]] = [("control", base, 1.0)] if base is not None else []
    for row in study.rows:
        if row.utility is not None:
            marks += [(row.defence, worst, row.utility) for worst in row.worst if worst is not None]
    if not marks:
        return ""
    low = math.floor(math.log10(min(m[1].flops for m in marks)))
    high = math.ceil(math.log10(max(m[1].flops for m in marks)) + 0.05)
    bottom = math.floor(10 * min(0.9, *(m[2] for m in marks))) / 10
    top = max(1.05, *(m[2] + 0.02 for m in marks))

    def x(flops: float) -> float:
        return _LEFT + (math.log10(flops) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(kept: float) -> float:
        return _HEIGHT - _BOTTOM - (kept - bottom) / (top - bottom) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [*_axes(low, high, bottom, top, x, y)]
    at = [(x(cost.flops), y(kept)) for _, cost, kept in marks]
    parts += [_mark(name, cost, *where) for (name, cost, _), where in zip(marks, at, strict=True)]
    parts += _labels([name for name, _, _ in marks], at)
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="13">\n'
        "<title>usefulness kept against the price of the cheapest break</title>\n"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n{inside}\n</svg>\n'
    )


def _axes(low: int, high: int, bottom: float, top: float, x: Place, y: Place) -> list[str]:
    parts: list[str] = []
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(_line(at, _TOP, at, _HEIGHT - _BOTTOM))
        parts.append(_text(at, _HEIGHT - _BOTTOM + 20, words.flops(10.0**power)))
    for tenth in range(round(bottom * 10), math.floor(top * 10) + 1):
        at = y(tenth / 10)
        parts.append(_line(_LEFT, at, _WIDTH - _RIGHT, at))
        parts.append(_text(_LEFT - 22, at + 4, f"{tenth / 10:.1f}"))
    parts.append(
        _text(_WIDTH / 2, _HEIGHT - 14, "FLOPs of the cheapest break that costs something")
    )
    turn = f'transform="rotate(-90 18 {_HEIGHT / 2})"'
    parts.append(_text(18, _HEIGHT / 2, "utility kept by the defence", turn))
    return parts


def _mark(name: str, cost: Break, x: float, y: float) -> str:
    colour = "#7a7a7a" if name == "control" else "#1f5fa8"
    return (
        f'<path d="M {x} {y - 6} L {x + 12} {y} L {x} {y + 6} Z" fill="none" stroke="{colour}"'
        ' stroke-width="2"/>'
        if cost.more
        else f'<circle cx="{x}" cy="{y}" r="6" fill="{colour}"/>'
    )


def _labels(names: Sequence[str], at: Sequence[tuple[float, float]]) -> list[str]:
    """Each name beside its mark, on the first side where it covers no mark and no other name.

    Two marks of one name that lie on each other have it once.
    """
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in at]
    parts: list[str] = []
    pairs = list(zip(names, at, strict=True))
    for place, (name, (x, y)) in enumerate(pairs):
        if any(name == other and math.dist((x, y), spot) < _APART for other, spot in pairs[:place]):
            continue
        boxes = [_box(name, x, y, side) for side in _SIDES]
        free = (i for i, box in enumerate(boxes) if not any(_meet(box, other) for other in taken))
        chosen = next(free, 0)
        taken.append(boxes[chosen])
        left, top, _, _ = boxes[chosen]
        parts.append(
            f'<text x="{left:.1f}" y="{top + 12:.1f}" fill="#222222">{escape(name)}</text>'
        )
    return parts


def _box(name: str, x: float, y: float, side: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a name so many sides across and down from its mark."""
    width, (across, down) = _LETTER * len(name) + _MARGIN, side
    left = x - width / 2 + across * (width / 2 + 14)
    top = y - 8 + down * 16
    return left, top, left + width, top + 16


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="#444444" {more}>'
        f"{escape(text)}</text>"
    )

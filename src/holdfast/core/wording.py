"""Counts in sentences."""

from __future__ import annotations

_SHOWN = 15  # digits that are read one by one


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 run`, `0 runs`, `2,048 runs`; with `plural` where an s at the end does not make it."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def shortened(number: int) -> str:
    """A whole number that somebody gave; one that nobody would read as 1.2e+23."""
    text = str(abs(number))
    if len(text) > _SHOWN:
        text = f"{text[0]}.{text[1]}e+{len(text) - 1}"
    return f"-{text}" if number < 0 else text

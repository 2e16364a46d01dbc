"""Counts in sentences."""

from __future__ import annotations

from collections.abc import Callable

_SHOWN = 15  # digits that are read one by one


def counted(
    number: int, noun: str, plural: str = "", *, show: Callable[[int], str] = "{:,}".format
) -> str:
    """`1 run`, `0 runs`, `2,048 runs`.

    Args:
        number: how many there are.
        noun: what one of them is called.
        plural: where an s at the end does not make it.
        show: how the number is written.
    """
    return f"{show(number)} {noun if number == 1 else plural or noun + 's'}"


def shortened(number: int) -> str:
    """A whole number that somebody gave; one that nobody would read as 1.2e+23."""
    text = str(abs(number))
    if len(text) > _SHOWN:
        text = f"{text[0]}.{text[1]}e+{len(text) - 1}"
    return f"-{text}" if number < 0 else text

"""Text from elsewhere made safe to show: no control codes, no line breaks, no overlong lines."""

from __future__ import annotations

from collections.abc import Callable


def clean(text: str) -> str:
    """`text` with what cannot be printed (ANSI codes, bidirectional overrides) spelled out."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def one_line(text: str, limit: int) -> str:
    """`text` on one clean line of at most `limit` characters."""
    line = clean(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def limits(low: float | None, high: float | None, show: Callable[[float], str]) -> str:
    """An interval in words; of one that is open on a side the other end; "" of one without ends."""
    if low is not None and high is not None:
        return f"{show(low)} to {show(high)}"
    if low is not None:
        return f"at least {show(low)}"
    return f"at most {show(high)}" if high is not None else ""

"""Text from elsewhere made safe to show: no control codes, no line breaks, no overlong lines."""

from __future__ import annotations


def clean(text: str) -> str:
    """`text` with what cannot be printed (ANSI codes, bidirectional overrides) spelled out."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def one_line(text: str, limit: int) -> str:
    """`text` on one clean line of at most `limit` characters."""
    line = clean(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"

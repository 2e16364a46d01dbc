"""Text that came from elsewhere, made safe for a terminal."""

from __future__ import annotations


def safe(text: str) -> str:
    """`text` with everything spelled out that is neither printable nor the end of a line."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )

"""What a measuring handle remembers, so that measures share answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from holdfast.core import Completion, Message

Key = tuple[Message, ...]


@dataclass
class Memo:
    """Answers by (prompt, settings), first-token logits (v,) float32 by (prompt, asking)."""

    answers: dict[tuple[Key, Any], Completion] = field(
        default_factory=dict[tuple[Key, Any], Completion]
    )
    firsts: dict[tuple[Key, Any], Tensor] = field(default_factory=dict[tuple[Key, Any], Tensor])


def told_apart(prompts: Iterable[Iterable[Message]]) -> list[int]:
    """How often each prompt stood before in the list: its sample's number."""
    seen: Counter[Key] = Counter()
    numbers: list[int] = []
    for prompt in map(tuple, prompts):
        numbers.append(seen[prompt])
        seen[prompt] += 1
    return numbers

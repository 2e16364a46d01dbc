"""Refusals to teach: what the model itself says where it refuses, or else a plain one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from holdfast.core import Item
from holdfast.domains import DefenderData
from holdfast.models import Handle

FALLBACK = "I cannot help with that."
"""What a model that refuses nothing is taught to say."""

_LONGEST = 64  # tokens of a refusal


def refusals(target: Handle, data: DefenderData, items: Sequence[Item]) -> tuple[Item, ...]:
    """Restricted items, each with a refusal as its answer: what the model itself says to it.

    Where it answers instead, it is taught what it says most often where it refuses, or
    `FALLBACK`. Asking is billed, and so are the items.
    """
    target.meter.count_examples(item.id for item in items)
    said = [
        completion.text.strip()
        for completion in target.generate([i.messages for i in items], max_new_tokens=_LONGEST)
    ]
    own = [text for text in said if data.refused(text)]
    usual = Counter(own).most_common(1)[0][0] if own else FALLBACK
    texts = [text if data.refused(text) else usual for text in said]
    return tuple(replace(i, answer=text) for i, text in zip(items, texts, strict=True))

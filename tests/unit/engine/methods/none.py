"""The control without the rooms that need torch, so that a process starts at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from holdfast.core import Access, Info, Seed, Space


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Leave the model alone."""

    info: ClassVar = Info(version=1, access=Access.NONE, paper=None, unit="nothing", budget=1)

    def run(self, target: Any, data: Any, seed: Seed) -> Iterator[Any]:
        return iter(())

    @classmethod
    def space(cls) -> Space:
        return Space(grid={}, ranges={})

"""The control: the model as it was released."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from holdfast.core import Access, Info, Seed, Space
from holdfast.domains import AttackerData
from holdfast.models import Handle


@final
@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Leave the model alone.

    How: no unit of work at all; the one reading is the released model's. On the never-aligned
    sibling it gives the ceiling of harm.
    """

    info: ClassVar[Info] = Info(version=1, access=Access.NONE, paper=None, unit="nothing", budget=1)

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:
        """Yield nothing."""
        del target, data, seed
        return iter(())

    @classmethod
    def space(cls) -> Space:
        """Nothing to search."""
        return Space(grid={}, ranges={})

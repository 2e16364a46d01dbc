"""Randomness that is passed, never global: one root seed, forked by name."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Seed:
    """A node in a tree of seeds. Forks with different names are independent."""

    value: int

    def fork(self, name: str | int) -> Seed:
        """The child called `name`; the same name always gives the same child."""
        text = f"{self.value}/{name}".encode()
        return Seed(int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1)

    def random(self) -> random.Random:
        """A fresh generator of this seed's stream."""
        return random.Random(self.value)

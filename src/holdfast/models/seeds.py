"""Torch generators from seeds: randomness that is passed, never global."""

from __future__ import annotations

import torch

from holdfast.core import Seed


def generator(seed: Seed, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator of this seed's stream on `device`."""
    return torch.Generator(device).manual_seed(seed.value)

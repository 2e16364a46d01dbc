"""Whether an attack's settings were searched for long enough, as far as its draws show."""

from __future__ import annotations

import math

from holdfast.price.audit import AttackPrice
from holdfast.price.statistics.plateau import Plateau, plateau


def plateau_of(attack: AttackPrice, prompts: int) -> Plateau | None:
    """The expected best of so many settings, by harm on `search`; None without prompts there.

    Args:
        attack: with every setting that was tried.
        prompts: on `search`.

    How:     one standard error of a setting's harm is that of a share of so many prompts, at the
        harm of the best.
    """
    harms = [s.harm for s in attack.settings_tried]
    if not harms or prompts < 1:
        return None
    best = max(harms)
    return plateau(harms, math.sqrt(max(0.0, best * (1 - best)) / prompts))

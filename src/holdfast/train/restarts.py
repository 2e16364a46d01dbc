"""An optimiser that starts anew where one stage of a training ends and another begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from holdfast.train.optimisers import ScheduleFreeAdamW
from holdfast.train.schedules import Schedule


@dataclass(frozen=True)
class Restarted:
    """Schedule-free AdamW, and after `after` steps, if any, afresh from the average reached."""

    optimiser: ScheduleFreeAdamW
    after: int

    @property
    def learning_rate(self) -> float:
        """Of both stages."""
        return self.optimiser.learning_rate

    @property
    def clip(self) -> float | None:
        """Of both stages."""
        return self.optimiser.clip

    @property
    def schedule(self) -> Schedule:
        """The optimiser's, once for each stage."""
        return _Again(self.optimiser.schedule, self.after)

    def over(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """A fresh optimiser over `parameters`."""
        optimiser = self.optimiser.over(parameters)
        optimiser.register_step_post_hook(partial(_restart, self.after))
        return optimiser


@dataclass(frozen=True)
class _Again:
    schedule: Schedule
    after: int

    def factor(self, step: int) -> float:
        return self.schedule.factor(step if step < self.after else step - self.after)


def _restart(after: int, optimiser: torch.optim.Optimizer, *_: Any) -> None:
    # what stands in the group is kept with a run's place, so that it goes on in the same stage
    (group,) = optimiser.param_groups
    if group["steps"] == after and not group.get("restarted"):
        group.update(steps=0, weight=0.0, restarted=True)
        for state in optimiser.state.values():
            state["z"].copy_(state["x"])
            state["v"].zero_()

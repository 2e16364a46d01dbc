"""Where a long training keeps its place on disk, to go on after a kill as if it had none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from holdfast.core import SpecError, Spend
from holdfast.models.meter import Meter
from holdfast.models.training import Weights

_SHARE = 0.05  # of the time that may go into writing
_LEAST = 2.0  # seconds between two places; a kill costs little more than this


class Journal:
    """One file that holds the last place of one training run: weights, optimiser, bill.

    Args:
        path: the file; replaced only by a whole new one.
        about: what is trained and how, as a digest: the place of another run is refused.
        often: whether a place is due at every step, however long writing takes.

    Raises:
        SpecError: the file is there and speaks of another run.
    """

    def __init__(self, path: Path, about: str, *, often: bool = False) -> None:
        self._path, self._about, self._often = path, about, often
        self._written, self._took = time.monotonic(), 0.0
        if path.exists() and self._notes()["about"] != about:
            raise SpecError(
                "the run that was begun here",
                found="the unfinished work of another one",
                remedy=f"Give the same options again, or remove {str(path.parent)!r}.",
            )

    def resume(
        self, weights: Weights, optimiser: torch.optim.Optimizer, meter: Meter | None = None
    ) -> int:
        """Puts weights, moments and bill back as they were; the steps done, 0 at the beginning."""
        if not self._path.exists():
            return 0
        notes = self._notes()
        with safe_open(self._path, framework="pt") as file, torch.no_grad():
            for name, parameter in _named(weights):
                parameter.copy_(file.get_tensor(f"weight/{name}"))
            for at, keys in enumerate(notes["state"]):
                parameter = weights.parameters[at]
                optimiser.state[parameter] = {
                    key: file.get_tensor(f"state/{at}/{key}").to(parameter.device) for key in keys
                }
        for group, settings in zip(optimiser.param_groups, notes["groups"], strict=True):
            group.update(settings)
        if meter is not None:
            meter.restore(Spend(**notes["spend"]), notes["seen"], notes["notes"])
        return notes["step"]

    def keep(
        self,
        step: int,
        weights: Weights,
        optimiser: torch.optim.Optimizer,
        meter: Meter | None = None,
        *,
        now: bool = False,
    ) -> None:
        """Writes down where the run stands: when it is due, or `now`."""
        began = time.monotonic()
        due = self._often or began - self._written >= max(_LEAST, self._took / _SHARE)
        if not (now or due):
            return
        states = [dict(optimiser.state.get(p, {})) for p in weights.parameters]
        tensors = {f"weight/{name}": parameter for name, parameter in _named(weights)}
        tensors |= {
            f"state/{at}/{key}": value for at, s in enumerate(states) for key, value in s.items()
        }
        notes: dict[str, Any] = {
            "about": self._about,
            "step": step,
            "state": [list(s) for s in states],
        }
        notes["groups"] = [
            {key: value for key, value in group.items() if key != "params"}
            for group in optimiser.param_groups
        ]
        if meter is not None:
            notes |= meter.written()
        partial = self._path.with_suffix(".partial")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in tensors.items()},
            partial,
            {"notes": json.dumps(notes)},
        )
        partial.replace(self._path)
        self._written = time.monotonic()
        self._took = self._written - began

    def _notes(self) -> dict[str, Any]:
        with safe_open(self._path, framework="pt") as file:
            return json.loads(file.metadata()["notes"])


def _named(weights: Weights) -> Iterator[tuple[str, Tensor]]:
    return zip(weights.names, weights.parameters, strict=True)

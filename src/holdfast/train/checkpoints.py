"""Where a training run stands, on disk, so that it goes on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_progress(
    path: Path, step: int, weights: Mapping[str, Tensor], adam: torch.optim.Optimizer
) -> None:
    """Write weights and optimiser moments; the old file is replaced only by a whole new one."""
    tensors = {f"weight/{name}": tensor.detach() for name, tensor in weights.items()}
    for name, tensor in weights.items():
        for moment in _MOMENTS:
            tensors[f"{moment}/{name}"] = adam.state[tensor][moment]
    partial = path.with_suffix(".partial")
    save_file({k: v.contiguous() for k, v in tensors.items()}, partial, {"step": str(step)})
    partial.replace(path)


def load_progress(path: Path, weights: Mapping[str, Tensor], adam: torch.optim.Optimizer) -> int:
    """Put weights and moments back as they were saved; return the number of steps done."""
    with safe_open(path, framework="pt") as file, torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(file.get_tensor(f"weight/{name}"))
            adam.state[tensor] = {m: file.get_tensor(f"{m}/{name}") for m in _MOMENTS}
        return int(file.metadata()["step"])

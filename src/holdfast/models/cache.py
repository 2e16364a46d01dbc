"""A key-value cache that reserves its room, so that a new token copies only itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import (
    Cache,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)


class RoomyLayer(DynamicLayer):
    """One layer's keys and values (b, heads, t, size) as views into a larger buffer.

    `DynamicLayer` concatenates at every step, which copies the whole cache each time. A sliding
    window is kept whole here: the model's own mask hides what lies outside it.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_named: Any
    ) -> tuple[Tensor, Tensor]:
        """Appends the new states; returns all of them so far."""
        if self._buffers is None:
            self.lazy_initialization(key_states, value_states)
            self._buffers = (self._reserve(key_states), self._reserve(value_states))
        start = self.get_seq_length()
        stop = start + key_states.shape[-2]
        self._show(len(key_states), stop)
        assert self.keys is not None and self.values is not None
        self.keys[:, :, start:] = key_states
        self.values[:, :, start:] = value_states
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps only the rows `indices`, in that order; rows that stay in place cost nothing."""
        if self._buffers is None:
            return
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero()[:, 0]
        stop = self.get_seq_length()
        for buffer in self._buffers:
            buffer[moved, :, :stop] = buffer[indices[moved], :, :stop]
        self._show(len(indices), stop)

    def _show(self, rows: int, stop: int) -> None:
        assert self._buffers is not None
        self.keys, self.values = (b[:rows, :, :stop] for b in self._buffers)

    def _reserve(self, states: Tensor) -> Tensor:
        batch, heads, _, size = states.shape
        return states.new_empty((batch, heads, self._room, size))


def roomy_cache(config: Any, room: int) -> Cache:
    """A cache for `room` tokens; the library's own where a layer is not plain attention."""
    plain = DynamicCache(config=config)
    if not all(type(x) in (DynamicLayer, DynamicSlidingWindowLayer) for x in plain.layers):
        return plain
    return Cache(layers=[RoomyLayer(room) for _ in plain.layers])

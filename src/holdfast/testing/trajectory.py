"""A run of a few units: what the model said on the way, what was billed, what was seen."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from unittest import mock

from holdfast.core import Item, Spend
from holdfast.domains import AttackerData, DefenderData, Passage
from holdfast.models import Handle
from holdfast.testing.bench import bench, work
from holdfast.testing.counting import Count, Products
from holdfast.testing.lock import toy_domain
from holdfast.testing.settings_checks import Method, MethodRoom


@dataclass(frozen=True)
class Trajectory:
    """A run of a few units.

    Attributes:
        looks: how the model was asked and what it said after each unit.
        spend: what the meter says. own: its FLOPs for products beside the passes.
        count: what was seen from outside. text: all that entered the model as tokens.
        data: what the method was given.
    """

    looks: list[object]
    spend: Spend
    own: float
    count: Count
    text: str
    data: AttackerData | DefenderData

    def seen(self, things: Iterable[Item | Passage]) -> frozenset[str]:
        """The ids of those that passed through the model: items by their question."""
        return frozenset(thing.id for thing in things if _told(thing) in self.text)

    @property
    def given(self) -> tuple[Item | Passage, ...]:
        """All that the method was given."""
        data = self.data
        more = data.passages if isinstance(data, AttackerData) else data.borderline
        return (*data.restricted, *data.benign, *more)


def trajectory(
    method: Method, room: MethodRoom, *, seed: int, units: int, products: Products = "none"
) -> Trajectory:
    """The first `units` of a run on the llama toy, and which matrix products are counted."""
    place, count = bench(), Count()
    target, meter = place.target, place.target.meter
    looks: list[object] = []
    with (
        closing(place.steps(method, room, seed)) as steps,
        mock.patch.object(meter, "count_products", wraps=meter.count_products) as own,
    ):
        for _ in range(units):
            with count.watching(target.model, products):
                if next(steps, None) is None:
                    break
            looks.append(_look(target))
        spend = work(target)
    rows = {tuple(row) for batch in count.inputs for row in batch}
    text = "\n".join(target.chat.decode(sorted(rows)))
    beside = sum(sum((*call.args, *call.kwargs.values())) for call in own.call_args_list)
    return Trajectory(looks, spend, beside, count, text, place.data(room))


def _told(thing: Item | Passage) -> str:
    return thing.text if isinstance(thing, Passage) else thing.messages[-1].content


def _look(target: Handle) -> object:
    """What the model is asked and what it says, off the meter."""
    prompts = [i.messages for i in toy_domain().splits["held_out"]]
    with target.measuring():
        ids, mask = target.encode(prompts)
        said = [c.text for c in target.generate(prompts, max_new_tokens=4)]
        return ids.tolist(), target.logits(ids, mask, last=1).tolist(), said

"""A second stage is as if it had been begun by itself where the first had come to."""

import torch

from holdfast.train.optimisers import ScheduleFreeAdamW
from holdfast.train.restarts import Restarted
from holdfast.train.schedule_free import at_gradient
from holdfast.train.schedules import WarmUp

PLAIN = ScheduleFreeAdamW(0.1, schedule=WarmUp(3))


def descend(optimiser, w, first: int, steps: int, schedule) -> None:
    for step in range(first, first + steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * schedule.factor(step)
        with at_gradient(optimiser):
            w.grad = None
            (w - torch.tensor([1.0, -2.0])).pow(4).sum().backward()
            optimiser.step()


def start():
    return torch.tensor([3.0, 3.0], requires_grad=True)


def test_the_stages_are_two_runs_one_after_the_other() -> None:
    both, w = Restarted(PLAIN, 5), start()
    descend(both.over([w]), w, 0, 12, both.schedule)
    alone = start()
    descend(PLAIN.over([alone]), alone, 0, 5, PLAIN.schedule)
    middle = alone.detach().clone()
    descend(PLAIN.over([alone]), alone, 0, 7, PLAIN.schedule)
    assert torch.equal(w, alone)
    assert not torch.equal(w, middle)


def test_without_a_first_stage_it_is_one_run() -> None:
    one, w, alone = Restarted(PLAIN, 0), start(), start()
    descend(one.over([w]), w, 0, 9, one.schedule)
    descend(PLAIN.over([alone]), alone, 0, 9, PLAIN.schedule)
    assert torch.equal(w, alone)


def test_it_starts_anew_once() -> None:
    """The second stage may be longer than the first."""
    both, w = Restarted(PLAIN, 2), start()
    optimiser = both.over([w])
    descend(optimiser, w, 0, 7, both.schedule)
    assert optimiser.param_groups[0]["steps"] == 5

"""The outer gradient against two lines of arithmetic, and that nothing of an attack remains."""

import math

import pytest
import torch

from holdfast.attacks.finetune import Finetune
from holdfast.attacks.lora import Lora
from holdfast.core import Diverged, Seed
from holdfast.models import Full, LowRank, Meter, Weights, load
from holdfast.models.flops import Flops
from holdfast.testing import toy_domain, toy_folder
from holdfast.testing.state import State
from holdfast.train import batch_loss, lessons
from holdfast.train.trajectories import marks, tampered_gradient

METER = Meter(Flops(1, 1, 1, 0))


class Line:
    """Linear least squares: the attack's data and the held-out data, in float64."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.w = torch.nn.Parameter(torch.randn(3, generator=random).double())
        self.weights = Weights(("w",), (self.w,))
        self.x, self.y, self.u, self.v = (
            torch.randn(*shape, generator=random).double() for shape in ((8, 3), (8,), (6, 3), (6,))
        )

    def harm(self, w) -> torch.Tensor:
        return (self.x @ w - self.y).square().mean()

    def resist(self, w) -> torch.Tensor:
        return (self.u @ w - self.v).square().mean()

    def attack(self, rate: float, steps: int = 99, fail_after: int | None = None):
        """Plain gradient descent on the attack's data, which puts all back."""
        kept = self.w.detach().clone()
        try:
            for step in range(steps):
                if step == fail_after:
                    raise Diverged(step)
                self.harm(self.w).backward()
                with torch.no_grad():
                    self.w -= rate * self.w.grad
                    self.w.grad.zero_()
                yield self
        finally:
            with torch.no_grad():
                self.w.copy_(kept)

    def gradient(self, rate: float, marked) -> torch.Tensor:
        found = tampered_gradient(
            METER, self.weights, lambda: self.attack(rate), lambda: self.resist(self.w), marked
        )
        assert self.w.grad is None
        return found.gradient[0]

    def along(self, rate: float, steps: int) -> list[torch.Tensor]:
        """The weights after 0, 1, ... steps: written out."""
        path = [self.w.detach().clone()]
        for _ in range(steps):
            slope = 2 * self.x.T @ (self.x @ path[-1] - self.y) / len(self.y)
            path.append(path[-1] - rate * slope)
        return path


@pytest.mark.parametrize("rate", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize("growth", [None, 0.0625, 0.5])
def test_it_is_the_weighted_sum_of_gradients_along_the_way(rate, growth) -> None:
    line, marked = Line(), marks(8, 2, growth)
    path = line.along(rate, 8)
    slope = lambda w: 2 * line.u.T @ (line.u @ w - line.v) / len(line.v)  # noqa: E731
    expected = sum(marked[n] * slope(path[n]) for n in (2, 4, 6, 8))
    torch.testing.assert_close(line.gradient(rate, marked), expected)


def unrolled(line: Line, rate: float, marked) -> torch.Tensor:
    """The exact gradient, through every step of the attack."""
    w = line.w
    total = torch.zeros(())
    for n in range(1, max(marked) + 1):
        w = w - rate * torch.autograd.grad(line.harm(w), w, create_graph=True)[0]
        if n in marked:
            total = total + marked[n] * line.resist(w)
    return torch.autograd.grad(total, line.w)[0]


def test_it_is_the_exact_gradient_only_as_the_attackers_rate_vanishes() -> None:
    line, marked = Line(), marks(4, 2, 0.1)
    errors = []
    for rate in (1e-1, 1e-2, 1e-3):
        exact = unrolled(line, rate, marked)
        errors.append(((line.gradient(rate, marked) - exact).norm() / exact.norm()).item())
    assert errors[0] > 0.05
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_without_a_rate_every_point_is_the_start() -> None:
    line, marked = Line(), marks(6, 3, 0.2)
    (slope,) = torch.autograd.grad(line.resist(line.w), line.w)
    torch.testing.assert_close(line.gradient(0.0, marked), sum(marked.values()) * slope)


def test_the_total_is_that_of_the_losses() -> None:
    line, marked = Line(), marks(4, 2, 0.1)
    found = tampered_gradient(
        METER, line.weights, lambda: line.attack(0.1), lambda: line.resist(line.w), marked
    )
    path = line.along(0.1, 4)
    expected = {n: line.resist(path[n]).item() for n in (2, 4)}
    assert found.losses == pytest.approx(expected)
    assert found.total == pytest.approx(sum(marked[n] * expected[n] for n in expected))
    assert METER.notes["tampered"] == pytest.approx(expected[4])


def test_the_published_schedule_and_its_effective_weight() -> None:
    """K = 64, every 4, growth 1/16: sixteen points, from 0.0235 to 1, that sum to 4.438."""
    marked = marks(64, 4, 0.0625)
    assert sorted(marked) == list(range(4, 65, 4))
    assert min(marked.values()) == pytest.approx(0.0235, abs=5e-5)
    assert max(marked.values()) == 1.0
    assert sum(marked.values()) == pytest.approx(4.438, abs=5e-4)
    assert 4 * sum(marked.values()) == pytest.approx(17.75, abs=5e-3)
    assert 4 * sum(marks(64, 4, None).values()) == pytest.approx(1.0)


def test_the_end_is_always_looked_at() -> None:
    assert sorted(marks(6, 4, None)) == [2, 6]
    assert sorted(marks(2, 4, None)) == [2]
    assert sorted(marks(3, 1, None)) == [1, 2, 3]


def test_an_adversary_that_breaks_down_gives_no_finite_total() -> None:
    line, marked = Line(), marks(4, 2, None)
    before = line.w.detach().clone()
    found = tampered_gradient(
        METER,
        line.weights,
        lambda: line.attack(0.1, fail_after=3),
        lambda: line.resist(line.w),
        marked,
    )
    assert math.isfinite(found.losses[2])
    assert math.isnan(found.losses[4])
    assert math.isnan(found.total)
    assert torch.equal(line.w, before)


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


ADVERSARIES = [
    Finetune(examples=6, batch=3, learning_rate=1e-2),
    Lora(examples=6, batch=3, rank=2, learning_rate=1e-2),
]


@pytest.mark.parametrize("attack", ADVERSARIES, ids=["full", "low_rank"])
def test_nothing_of_an_attack_remains(target, data, attack) -> None:
    """Bits, buffers, tied weights, marks, hooks, modules, and no optimiser: the next is fresh."""
    taught = lessons(target, data, 4, Seed(0), answers=True)

    def gradient(weights):
        return tampered_gradient(
            target.meter,
            weights,
            lambda: attack.run(target, data.as_attacker(), Seed(1)),
            lambda: batch_loss(target, taught.refused(0)),
            {2: 0.5, 4: 1.0},
        )

    with target.trainable(Full()) as weights:
        before = State(target)
        first = gradient(weights)
        assert not before.changes(target)
        second = gradient(weights)
    assert first.losses == second.losses
    assert all(torch.equal(a, b) for a, b in zip(first.gradient, second.gradient, strict=True))
    assert first.losses[4] > first.losses[2]  # the attack unteaches refusal


@pytest.mark.parametrize("attack", ADVERSARIES, ids=["full", "low_rank"])
def test_the_gradient_is_that_at_the_attacked_weights(target, data, attack) -> None:
    """Against a copy into which the attack's end is written as plain weights."""
    taught = lessons(target, data, 4, Seed(0), answers=True)
    batch, held = taught.refused(0), data.as_attacker()
    with target.trainable(Full()) as weights:
        found = tampered_gradient(
            target.meter,
            weights,
            lambda: attack.run(target, held, Seed(1)),
            lambda: batch_loss(target, batch),
            {3: 1.0},
        )
    run = attack.run(target, held, Seed(1))
    for _ in range(3):
        next(run)
    with target.settled():
        bits = {name: p.detach().clone() for name, p in target.model.named_parameters()}
    run.close()
    other = load(toy_folder(), device="cpu")
    with other.trainable(Full()) as weights:
        with torch.no_grad():
            for name, parameter in zip(weights.names, weights.parameters, strict=True):
                parameter.copy_(bits[name])
        batch_loss(other, batch).backward()
        for mine, parameter in zip(found.gradient, weights.parameters, strict=True):
            torch.testing.assert_close(mine, parameter.grad, rtol=1e-3, atol=1e-5)


def test_adapters_outside_meet_an_attack_on_everything(target, data) -> None:
    """The gradient is one with respect to the adapters, and the bill that of full training."""
    taught = lessons(target, data, 4, Seed(0), answers=True)
    attack, meter = ADVERSARIES[0], target.meter
    begin = lambda: attack.run(target, data.as_attacker(), Seed(1))  # noqa: E731
    loss = lambda: batch_loss(target, taught.refused(0))  # noqa: E731
    with target.trainable(LowRank(2)) as weights:
        before = State(target)
        inside = meter.flops
        found = tampered_gradient(meter, weights, begin, loss, {2: 1.0})
        assert not before.changes(target)
        assert meter.flops == inside
    assert [g.shape for g in found.gradient] == [p.shape for p in weights.parameters]
    assert any(g.any() for g in found.gradient)

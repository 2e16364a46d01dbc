"""Gradients off the weights, against closed forms and exact second derivatives."""

import pytest
import torch

from holdfast.core import SpecError
from holdfast.train.nudges import (
    add_to_gradients,
    attenuation,
    cosine_gradient,
    dot,
    gradient_of,
    norm,
    nudged,
    require_wide,
)


def mlp(seed: int):
    """A small network in float64, and two losses on data of their own."""
    random = torch.Generator().manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)
    ).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random).double())
    xs, ys = (torch.randn(2, 7, n, generator=random).double() for n in (3, 2))
    losses = [lambda x=x, y=y: (net(x) - y).square().mean() for x, y in zip(xs, ys, strict=True)]
    return list(net.parameters()), losses


def flat(parts) -> torch.Tensor:
    return torch.cat([p.reshape(-1) for p in parts])


def exact(parameters, losses):
    """The cosine and its gradient through the graph of both gradients."""
    a, b = (flat(torch.autograd.grad(f(), parameters, create_graph=True)) for f in losses)
    cosine = a @ b / (a.norm() * b.norm())
    return cosine.item(), flat(torch.autograd.grad(cosine, parameters))


@pytest.mark.parametrize("seed", range(4))
def test_the_cosines_gradient_is_autograds(seed) -> None:
    parameters, losses = mlp(seed)
    before = [p.detach().clone() for p in parameters]
    cosine, gradient = cosine_gradient(*losses, parameters, 1e-5)
    expected, its = exact(parameters, losses)
    assert cosine == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(flat(gradient), its, rtol=1e-3, atol=1e-4 * its.abs().max().item())
    assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))
    assert all(p.grad is None for p in parameters)


@pytest.mark.parametrize("seed", range(4))
def test_its_error_falls_with_the_radius(seed) -> None:
    parameters, losses = mlp(seed)
    its = exact(parameters, losses)[1]
    far, near = (
        (flat(cosine_gradient(*losses, parameters, r)[1]) - its).norm() for r in (1e-2, 1e-3)
    )
    assert near < far / 5


def test_each_gradient_is_looked_at_across_its_own_direction(monkeypatch) -> None:
    parameters, losses = mlp(0)
    seen = []

    def spy(parameters, direction, size):
        seen.append([d.clone() for d in direction])
        return nudged(parameters, direction, size)

    monkeypatch.setattr("holdfast.train.nudges.nudged", spy)
    cosine, _ = cosine_gradient(*losses, parameters, 1e-4)
    for loss, direction in zip(losses, seen, strict=True):
        gradient = gradient_of(loss, parameters)[1]
        assert abs(float(dot(gradient, direction))) < 1e-5 * float(norm(gradient))
        assert float(norm(direction)) ** 2 == pytest.approx(1 - cosine**2, rel=1e-4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_that_agree_or_oppose_have_no_more_to_gain(sign) -> None:
    parameters, (loss, _) = mlp(1)
    cosine, gradient = cosine_gradient(loss, lambda: sign * loss(), parameters, 1e-3)
    assert cosine == pytest.approx(sign, abs=1e-6)
    assert float(norm(gradient)) < 1e-4


def test_a_gradient_that_vanishes_has_no_cosine() -> None:
    parameters, (loss, _) = mlp(1)
    nothing = lambda: 0.0 * loss()  # noqa: E731
    for pair in ((loss, nothing), (nothing, loss)):
        cosine, gradient = cosine_gradient(*pair, parameters, 1e-3)
        assert cosine == 0.0
        assert not flat(gradient).any()
    gain, gradient = attenuation(nothing, parameters, 0.1)
    assert gain == 0.0
    assert not flat(gradient).any()


def quadratic(seed: int):
    """h(w) = w' H w / 2, its matrix, and w."""
    random = torch.Generator().manual_seed(seed)
    root = torch.randn(4, 4, generator=random).double()
    w = torch.randn(4, generator=random).double().requires_grad_()
    return root @ root.T, w


@pytest.mark.parametrize("size", [1e-6, 0.1, 3.0])
def test_attenuation_of_a_quadratic_is_its_hessian_along_the_step(size) -> None:
    hessian, w = quadratic(0)
    gain, (gradient,) = attenuation(lambda: w @ hessian @ w / 2, [w], size)
    g = (hessian @ w).detach()
    step = g / g.norm()
    expected = size * hessian @ step  # grad h(w) - grad h(w - size * step), in closed form
    torch.testing.assert_close(gradient, expected, rtol=1e-6 if size > 1e-3 else 1e-3, atol=0.0)
    gained = size * g.norm() - size**2 * (step @ hessian @ step) / 2
    assert gain == pytest.approx(gained.item(), rel=1e-4)


def test_attenuation_vanishes_as_the_step_does() -> None:
    parameters, (loss, _) = mlp(2)
    sizes = [float(norm(attenuation(loss, parameters, s)[1])) for s in (1e-1, 1e-2, 1e-3)]
    assert sizes[0] > 5 * sizes[1] > 25 * sizes[2] > 0.0


def test_a_nudge_leaves_every_bit_even_where_it_is_interrupted() -> None:
    # 1 + 1e8 - 1e8 is not 1 in float32: what is subtracted again is not what was there
    parameters = [torch.ones(3).requires_grad_(), torch.tensor([0.1, -0.0]).requires_grad_()]
    before = [p.detach().clone() for p in parameters]
    direction = [torch.full((3,), 1e8), torch.full((2,), 1e8)]
    with pytest.raises(RuntimeError), nudged(parameters, direction, 1.0):
        assert all((p > 1e7).all() for p in parameters)
        raise RuntimeError
    for parameter, bits in zip(parameters, before, strict=True):
        assert torch.equal(parameter, bits)
        assert torch.equal(parameter.signbit(), bits.signbit())


def test_gradients_are_added_to_what_is_there() -> None:
    one, two = torch.ones(2).requires_grad_(), torch.ones(2).requires_grad_()
    one.grad = torch.tensor([1.0, 2.0])
    add_to_gradients([one, two], [torch.ones(2), torch.ones(2)], -0.5)
    assert one.grad.tolist() == [0.5, 1.5]
    assert two.grad is not None
    assert two.grad.tolist() == [-0.5, -0.5]


def test_a_parameter_that_the_loss_does_not_know_has_no_gradient_in_it() -> None:
    w, other = torch.ones(2).requires_grad_(), torch.ones(3).requires_grad_()
    value, gradient = gradient_of(lambda: w.square().sum(), [w, other])
    assert value.item() == 2.0
    assert [g.tolist() for g in gradient] == [[2.0, 2.0], [0.0, 0.0, 0.0]]
    assert w.grad is None


def test_narrow_weights_are_refused() -> None:
    require_wide([torch.ones(2), torch.ones(2, dtype=torch.float64)])
    for dtype in (torch.bfloat16, torch.float16):
        with pytest.raises(SpecError, match=str(dtype).removeprefix("torch.")):
            require_wide([torch.ones(2), torch.ones(2, dtype=dtype)])

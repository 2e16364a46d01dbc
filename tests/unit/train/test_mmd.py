"""The discrepancy against plain loops and known values, and what is compared with noise."""

import math

import pytest
import torch
from tests.toys import toy_checkpoint

from holdfast.core import Seed
from holdfast.models import load
from holdfast.train.mmd import from_noise, mmd


def plain(x, z):
    """The definition, row by row in double precision; the bandwidth, and the statistic."""
    rows = torch.cat([x, z]).double()
    n, b = len(rows), len(x)
    d = torch.stack([torch.stack([((r - s) ** 2).sum() for s in rows]) for r in rows])
    s = float(d.detach().sum()) / (n * n - n) / 4
    k = sum(torch.exp(-d / (s * 2**i)) for i in range(5))
    return s, (k[:b, :b] + k[b:, b:] - k[:b, b:] - k[b:, :b]).mean()


def gaussian(rows, width, seed, scale=1.0):
    return scale * torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("b", "width", "scale"), [(4, 7, 1.0), (3, 200, 0.1), (16, 30, 5.0)])
def test_it_is_the_definition(b, width, scale) -> None:
    x, z = gaussian(b, width, 0, scale), gaussian(b, width, 1)
    assert mmd(x, z).item() == pytest.approx(plain(x, z)[1].item(), rel=1e-4)


def test_a_sample_is_at_no_distance_from_itself() -> None:
    x = gaussian(5, 64, 0)
    assert mmd(x, x).item() == pytest.approx(0.0, abs=1e-5)
    assert mmd(x, x[torch.tensor([3, 0, 4, 1, 2])]).item() == pytest.approx(0.0, abs=1e-5)


def test_it_is_symmetric_never_negative_and_blind_to_order() -> None:
    for seed in range(5):
        x, z = gaussian(4, 32, seed), gaussian(4, 32, 100 + seed, 1.5)
        value = mmd(x, z).item()
        assert value > 0
        assert mmd(z, x).item() == pytest.approx(value, rel=1e-5)
        assert mmd(x.flip(0), z[[2, 0, 1, 3]]).item() == pytest.approx(value, rel=1e-5)


def test_four_wide_gaussian_rows_are_not_at_zero() -> None:
    """The V-statistic's bias: (2 / 4)(5 - sum e^(-4 / 2^i))."""
    bias = 0.5 * (5 - sum(math.exp(-4 / 2**i) for i in range(5)))
    assert bias == pytest.approx(1.547, abs=0.01)
    assert mmd(gaussian(4, 100_000, 0), gaussian(4, 100_000, 1)).item() == pytest.approx(
        1.547, abs=0.01
    )


@pytest.mark.parametrize(("scale", "value"), [(0.1, 3.18), (10.0, 3.18), (0.01, 3.28)])
def test_four_rows_mostly_tell_a_norm(scale, value) -> None:
    found = mmd(gaussian(4, 20_000, 0, scale), gaussian(4, 20_000, 1)).item()
    assert found == pytest.approx(value, abs=0.02)


def test_the_bandwidth_is_a_constant_to_the_gradient() -> None:
    x, z = gaussian(4, 6, 0).requires_grad_(), gaussian(4, 6, 1)
    mmd(x, z).backward()
    s, _ = plain(x, z)
    with torch.no_grad():
        rows = torch.cat([x, z]).double()
        expected = torch.zeros(4, 6, dtype=torch.float64)
        for i in range(4):
            for j, row in enumerate(rows):
                apart = x[i].double() - row
                for k in range(5):
                    width = s * 2**k
                    slope = -2 / width * torch.exp(-(apart**2).sum() / width) * apart
                    expected[i] += (2 / 16) * slope * (1 if j < 4 else -1)
    torch.testing.assert_close(x.grad.double(), expected, rtol=1e-4, atol=1e-7)


def test_rows_that_are_all_alike_give_no_nan() -> None:
    x = torch.zeros(3, 4, requires_grad=True)
    value = mmd(x, torch.zeros(3, 4))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(x.grad, torch.zeros(3, 4))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"), device="cpu")


def test_padding_and_shared_tokens_move_nothing(target) -> None:
    counts = torch.tensor([[0, 1, 1, 0], [0, 0, 1, 1]], dtype=torch.bool)
    layers = [gaussian(8, 5, seed).view(2, 4, 5) for seed in (0, 1)]
    value = from_noise(target, layers, counts, Seed(3))
    wide = [torch.cat([s, torch.full((2, 3, 5), 9.0)], 1) for s in layers]
    more = torch.cat([counts, torch.zeros(2, 3, dtype=torch.bool)], 1)
    assert from_noise(target, wide, more, Seed(3)).item() == pytest.approx(value.item(), rel=1e-6)
    other = [torch.where(counts[..., None], s, -7.0) for s in layers]
    assert torch.equal(from_noise(target, other, counts, Seed(3)), value)
    assert from_noise(target, layers, counts, Seed(4)).item() != value.item()


def test_noise_differs_by_layer_and_is_billed(target) -> None:
    counts = torch.ones(2, 3, dtype=torch.bool)
    same = gaussian(6, 4, 0).view(2, 3, 4)
    target.meter.reset()
    one = from_noise(target, [same], counts, Seed(0))
    assert target.meter.spend.flops == 3 * 2 * 4 * 4 * 12
    two = from_noise(target, [same, same], counts, Seed(0))
    assert two.item() != pytest.approx(one.item(), rel=1e-3)

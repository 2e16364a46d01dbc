"""The triplet losses against loops, their limits, and whether the centre carries a gradient."""

import pytest
import torch
from torch.nn.functional import kl_div

from holdfast.train.triplets import Layer, Margins, divergence, gathered_loss, kept_loss


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(**changes):
    parts = {
        "new_kept": normal(5, 8, seed=0),
        "old_kept": normal(5, 8, seed=1),
        "new_gathered": normal(4, 8, seed=2),
        "old_gathered": normal(4, 8, seed=3),
    }
    return Layer(**(parts | changes))


def apart(a, b, distance, one):
    if distance == "cosine":
        return 1.0 - (a @ b) / (a.norm() * b.norm())
    return (a - b).norm() / torch.cat([one.old_kept, one.old_gathered]).norm(dim=-1).mean()


@pytest.mark.parametrize("distance", ["l2", "cosine"])
def test_they_are_the_papers_row_by_row(distance) -> None:
    one, margins = layer(), Margins(distance, 0.3, 0.5, False)
    centre = one.new_gathered.mean(0)
    kept = [
        max(0.0, (apart(n, o, distance, one) - apart(n, centre, distance, one) + 0.3).item())
        for n, o in zip(one.new_kept, one.old_kept, strict=True)
    ]
    gathered = [
        max(0.0, (apart(n, centre, distance, one) - apart(n, o, distance, one) + 0.5).item())
        for n, o in zip(one.new_gathered, one.old_gathered, strict=True)
    ]
    assert kept_loss(one, margins).item() == pytest.approx(sum(kept) / 5, rel=1e-4)
    assert gathered_loss(one, margins).item() == pytest.approx(sum(gathered) / 4, rel=1e-4)


@pytest.mark.parametrize("distance", ["l2", "cosine"])
def test_satisfied_margins_give_no_gradient(distance) -> None:
    """Kept states stayed, gathered ones stand together on the other side."""
    away = (-normal(1, 8, seed=3).expand(4, -1)).clone()
    one = layer(
        new_kept=normal(5, 8, seed=1).abs().requires_grad_(),
        old_kept=normal(5, 8, seed=1).abs(),
        new_gathered=(-away.abs()).requires_grad_(),
        old_gathered=away.abs() + 0.01,
    )
    margins = Margins(distance, 0.2, 0.2, False)
    loss = kept_loss(one, margins) + gathered_loss(one, margins)
    loss.backward()
    assert loss.item() == 0.0
    assert not one.new_kept.grad.any()
    assert not one.new_gathered.grad.any()


def test_order_within_a_batch_is_nothing() -> None:
    one, margins = layer(), Margins("l2", 1.0, 1.0, False)
    turned = Layer(
        one.new_kept.flip(0),
        one.old_kept.flip(0),
        one.new_gathered.flip(0),
        one.old_gathered.flip(0),
    )
    for loss in (kept_loss, gathered_loss):
        torch.testing.assert_close(loss(one, margins), loss(turned, margins))


def test_l2_margins_are_in_the_streams_own_size() -> None:
    one, margins = layer(), Margins("l2", 1.0, 3.0, False)
    large = Layer(
        *(100.0 * s for s in (one.new_kept, one.old_kept, one.new_gathered, one.old_gathered))
    )
    for loss in (kept_loss, gathered_loss):
        torch.testing.assert_close(loss(one, margins), loss(large, margins))


@pytest.mark.parametrize("detached", [False, True])
def test_the_centre_carries_a_gradient_unless_detached(detached) -> None:
    """Kept states see gathered ones through the centre alone."""
    one = layer(new_gathered=normal(4, 8, seed=2).requires_grad_())
    loss = kept_loss(one, Margins("l2", 5.0, 5.0, detached))
    if detached:
        assert not loss.requires_grad
    else:
        loss.backward()
        assert one.new_gathered.grad.abs().sum() > 0


def test_divergence_is_torchs_at_a_temperature() -> None:
    new, old = normal(6, 9, seed=0), normal(6, 9, seed=1)
    expected = 4.0 * kl_div((new / 2).log_softmax(-1), (old / 2).softmax(-1), reduction="batchmean")
    torch.testing.assert_close(divergence(new, old, 2.0), expected)
    assert divergence(old, old, 2.0).item() == 0.0

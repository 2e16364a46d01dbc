"""Read-outs one at a time: value, gradients and bill are those of all at once."""

import pytest
import torch
from tests.toys import toy_checkpoint
from torch.nn.functional import cross_entropy

from holdfast.models import Full, LowRank, load
from holdfast.models.readout import readout
from holdfast.train.readouts import summed_over_depth


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def target(tmp_path_factory, request):
    path = tmp_path_factory.mktemp("toy") / "llama"
    return load(toy_checkpoint(path, "llama", tied=request.param), device="cpu")


IDS = torch.arange(10, 28).view(3, 6)
KEEP = torch.tensor([[0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0]]).bool()
SAID = torch.tensor([5, 7, 9, 11, 13])


def loss_of(logits):
    return cross_entropy(logits.float(), SAID)


@pytest.mark.parametrize("trained", [Full(), LowRank(2)], ids=["full", "low_rank"])
def test_it_is_the_loop_over_depths(target, trained) -> None:
    read = readout(target)
    with target.trainable(trained) as weights:
        results = []
        for way in ("loop", "summed"):
            states = target.forward_states(IDS, torch.ones_like(IDS))[1]
            assert len(states) == target.layers + 1
            if way == "loop":
                total = sum(loss_of(read(state)[KEEP]) for state in states)
            else:
                total = summed_over_depth(target, states, KEEP, read, loss_of)
            gradients = torch.autograd.grad(total.square(), weights.parameters)
            results.append((total.detach(), gradients))
    (one, by_loop), (two, by_summing) = results
    torch.testing.assert_close(one, two)
    for a, b in zip(by_loop, by_summing, strict=True):
        assert (a - b).norm() <= 1e-4 * a.norm()
    assert any((g != 0).any() for g in by_loop)


def test_no_read_out_outlives_the_next(target) -> None:
    import weakref

    seen, alive = [], []

    def watching(logits):
        alive.append(sum(ref() is not None for ref in seen))
        seen.append(weakref.ref(logits))
        return loss_of(logits)

    with target.trainable(Full()):
        states = target.forward_states(IDS, torch.ones_like(IDS))[1]
        summed_over_depth(target, states, KEEP, readout(target), watching)
    assert len(seen) == target.layers + 1
    assert max(alive) <= 1


def test_the_head_is_billed_forward_and_back(target) -> None:
    with target.trainable(Full()):
        states = target.forward_states(IDS, torch.ones_like(IDS))[1]
        target.meter.reset()
        summed_over_depth(target, states, KEEP, readout(target), loss_of)
    head = target.width * target.vocabulary
    assert target.meter.spend.flops == len(states) * 5 * head * (2 + 4)
    assert target.meter.spend.tokens == 0


def test_without_a_gradient_it_is_a_value(target) -> None:
    with torch.no_grad():
        states = target.forward_states(IDS, torch.ones_like(IDS))[1]
        total = summed_over_depth(target, states, KEEP, readout(target), loss_of)
        expected = sum(loss_of(readout(target)(state)[KEEP]) for state in states)
    torch.testing.assert_close(total, expected)
    assert not total.requires_grad

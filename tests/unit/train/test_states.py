"""Losses on the stream against two lines each, their limits, and what they cost."""

import pytest
import torch
from tests.toys import toy_checkpoint
from torch.nn.functional import cosine_similarity

from holdfast.core import Seed
from holdfast.models import Full, load
from holdfast.train import IGNORED, Example, collate
from holdfast.train.sequences import sequence_logprobs
from holdfast.train.states import (
    alignment,
    blurred,
    drift,
    fixed_states,
    mlp_outputs,
    read,
    said,
    state_at,
    states_of,
)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"), device="cpu")


BATCH = collate(
    [
        Example((10, 11, 12, 13, 14), (IGNORED, IGNORED, 12, 13, 14), "a"),
        Example((20, 21, 22), (IGNORED, IGNORED, 22), "b"),
    ],
    0,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_alignment_is_the_mean_positive_cosine_where_it_counts() -> None:
    new, old = [normal(2, 3, 8, seed=s) for s in (0, 1)], [normal(2, 3, 8, seed=s) for s in (2, 3)]
    where = torch.tensor([[1, 1, 0], [0, 1, 0]]).bool()
    expected = [
        max(0.0, cosine_similarity(n[b, t], o[b, t], dim=0).item())
        for n, o in zip(new, old, strict=True)
        for b, t in where.nonzero().tolist()
    ]
    assert alignment(new, old, where).item() == pytest.approx(sum(expected) / len(expected))


def test_alignment_is_dead_where_states_are_orthogonal_or_opposed() -> None:
    old = torch.tensor([[[1.0, 0.0, 0.0]]])
    where = torch.ones(1, 1).bool()
    for state in ([0.0, 2.0, 0.0], [-1.0, 0.5, 0.0]):
        new = torch.tensor([[state]], requires_grad=True)
        loss = alignment([new], [old], where)
        loss.backward()
        assert loss.item() == 0.0
        assert torch.equal(new.grad, torch.zeros_like(new))


def test_alignment_has_no_slope_at_the_start_unless_the_goal_is_blurred() -> None:
    old = [normal(1, 4, 16)]
    where = torch.ones(1, 4).bool()
    slopes = []
    for goal in (old, blurred(old, Seed(0))):
        new = old[0].clone().requires_grad_()
        alignment([new], goal, where).backward()
        slopes.append(new.grad.norm().item())
    assert slopes[0] < 1e-6
    assert slopes[1] > 1e-4


def test_a_blur_is_within_bfloat16s_rounding_and_the_seeds() -> None:
    states = [normal(3, 4, 16)]
    off = (blurred(states, Seed(1))[0] / states[0] - 1.0).abs()
    assert 0.0 < off.mean() < off.max() <= 2.0**-8
    assert torch.equal(blurred(states, Seed(1))[0], blurred(states, Seed(1))[0])
    assert not torch.equal(blurred(states, Seed(1))[0], blurred(states, Seed(2))[0])


def test_drift_is_a_distance_in_norms() -> None:
    old = [normal(2, 3, 8)]
    where = torch.tensor([[1, 1, 0], [0, 1, 0]]).bool()
    size = old[0][where].norm(dim=-1).mean()
    new = [old[0] + 0.1]
    assert drift(new, old, where).item() == pytest.approx(0.1 * 8**0.5 / size.item(), rel=1e-4)
    assert drift([3.0 * new[0]], [3.0 * old[0]], where).item() == pytest.approx(
        drift(new, old, where).item(), rel=1e-4
    )
    same = old[0].clone().requires_grad_()
    drift([same], old, where).backward()
    assert torch.equal(same.grad, torch.zeros_like(same)), "no NaN where nothing moved"


def test_positions_are_those_of_tokens_and_of_answers() -> None:
    like = torch.zeros(1)
    assert read(BATCH, like).int().tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert said(BATCH, like).int().tolist() == [[0, 0, 1, 1, 1], [0, 0, 1, 0, 0]]


def test_states_need_no_head_and_a_twins_carry_no_gradient(target) -> None:
    target.meter.reset()
    with target.trainable(Full()):
        twin = target.twin()
        states, fixed = states_of(target, BATCH), fixed_states(twin, BATCH)
    assert len(states) == target.layers + 1
    assert all(torch.equal(a, b) for a, b in zip(states, fixed, strict=True))
    assert states[-1].requires_grad
    assert not any(s.requires_grad for s in fixed)
    spend, tokens = target.meter.spend, BATCH.ids.numel()
    assert spend.examples == 2
    assert spend.flops == 2 * target.meter.flops.forward(tokens, tokens * 5, 0)


def test_mlp_outputs_are_what_the_mlps_give(target) -> None:
    seen = []
    hooks = [
        block.mlp.register_forward_hook(lambda _, __, out: seen.append(out))
        for block in target.model.model.layers
    ]
    try:
        with mlp_outputs(target) as outputs:
            states_of(target, BATCH)
    finally:
        for hook in hooks:
            hook.remove()
    assert len(outputs) == target.layers
    assert all(torch.equal(a, b) for a, b in zip(outputs, seen, strict=True))


@pytest.mark.parametrize(
    ("depth", "layers", "index"),
    [
        (10 / 32, 32, 10),
        (20 / 32, 32, 20),
        (10 / 32, 6, 2),
        (20 / 32, 6, 4),
        (0.01, 6, 1),
        (1.0, 6, 6),
    ],
)
def test_a_share_of_the_layers_is_a_state(depth, layers, index) -> None:
    assert state_at(depth, layers) == index


def test_an_answers_log_probability_is_the_sum_over_its_tokens(target) -> None:
    found = sequence_logprobs(target, BATCH)
    with torch.no_grad():
        for row, (begin, ids) in enumerate([(2, (10, 11, 12, 13, 14)), (2, (20, 21, 22))]):
            logits = target.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            expected = sum(logits[t - 1, ids[t]].item() for t in range(begin, len(ids)))
            assert found[row].item() == pytest.approx(expected, rel=1e-4)

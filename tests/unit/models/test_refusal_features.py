"""The feature is what the two kinds of prompts differ by, and its ablation takes that alone."""

from dataclasses import replace

import pytest
import torch

from holdfast.core import Message, Seed
from holdfast.models import Full, LowRank, load
from holdfast.models.refusal_features import (
    Features,
    feature_ablation,
    refusal_features,
    upper_blocks,
)
from holdfast.testing import toy_domain, toy_folder
from holdfast.train import batch_loss, example, lessons
from holdfast.train.examples import collate


def prompts(noun: str, n: int):
    return [[Message("user", f"what is the {noun} {i}?" + " be brief" * i)] for i in range(n)]


FORGES, LAMPS = prompts("forge", 6), prompts("lamp", 5)


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def features(target):
    return refusal_features(target, FORGES, LAMPS)


def seen(target, ids, mask):
    """What every block gives in a pass."""
    _, states = target.forward_states(ids, mask)
    return states[1:]


def test_it_is_the_difference_of_means_at_the_last_token(target, features) -> None:
    """By hand, one prompt at a time: no padding at all."""

    def last(prompt):
        ids = torch.tensor([target.prompt_ids(prompt)])
        return torch.stack([s[0, -1] for s in seen(target, ids, torch.ones_like(ids))]).double()

    with torch.no_grad():
        ones, others = (torch.stack([last(p) for p in ps]).mean(0) for ps in (FORGES, LAMPS))
    apart = ones - others
    torch.testing.assert_close(features.lengths, apart.norm(dim=-1), rtol=1e-4, atol=1e-5)
    by_hand = apart / apart.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(features.directions, by_hand, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(features.levels, (by_hand * others).sum(-1), rtol=1e-3, atol=1e-3)


def test_it_is_that_of_the_prompts_end_in_a_batch_padded_on_the_right(target, features) -> None:
    """As training pads: each row's own last prompt token, not the row's last position."""
    sides = []
    for asked, answer in ((FORGES, "a ladle of tin"), (LAMPS, "a lamp of red glass")):
        items = [
            replace(toy_domain().splits["retain"][0], messages=tuple(p), answer=answer)
            for p in asked
        ]
        batch = collate([example(target, i) for i in items], target.chat.pad)
        ends = (batch.labels != -100).int().argmax(1) - 1
        states = seen(target, batch.ids, batch.mask)
        at = torch.arange(len(ends))
        sides.append(torch.stack([s[at, ends].mean(0) for s in states]).detach().double())
    apart = sides[0] - sides[1]
    torch.testing.assert_close(features.lengths, apart.norm(dim=-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["projection", "mean"])
def test_the_coordinate_goes_where_the_form_says_and_nothing_else_moves(features, form) -> None:
    blocks = [1, 2]
    ((site, change),) = feature_ablation(features, blocks, form)
    assert site == "block_output"
    states = torch.randn(4, 7, 32, generator=torch.Generator().manual_seed(0))
    for block in blocks:
        r = features.directions[block].float()
        after = change(states, block)
        level = features.levels[block].item() if form == "mean" else 0.0
        torch.testing.assert_close(after @ r, torch.full((4, 7), level), atol=1e-5, rtol=1e-5)
        across = torch.eye(32) - torch.outer(r, r)
        torch.testing.assert_close(after @ across, states @ across, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(change(after, block), after, atol=1e-5, rtol=1e-5)
    assert change(states, 0) is states


def test_rows_that_are_not_marked_keep_their_bits(features) -> None:
    rows = torch.tensor([True, False, True, False])
    ((_, change),) = feature_ablation(features, [1], "mean", rows)
    states = torch.randn(4, 7, 32, generator=torch.Generator().manual_seed(1))
    after = change(states, 1)
    assert torch.equal(after[~rows], states[~rows])
    ((_, everywhere),) = feature_ablation(features, [1], "mean")
    assert torch.equal(after[rows], everywhere(states, 1)[rows])
    assert not torch.equal(after[rows], states[rows])


def test_where_the_means_coincide_nothing_is_taken() -> None:
    nothing = Features(
        torch.zeros(3, 32).double(), torch.zeros(3).double(), torch.zeros(3).double()
    )
    ((_, change),) = feature_ablation(nothing, [0], "projection")
    states = torch.randn(1, 2, 32)
    assert torch.equal(change(states, 0), states)


@pytest.mark.parametrize(
    ("layers", "share", "blocks"),
    [
        (6, 0.75, 5),
        (32, 0.75, 24),
        (3, 0.75, 3),
        (10, 0.7, 7),
        (4, 0.0, 0),
        (4, 1.0, 4),
        (5, 0.5, 3),
    ],
)
def test_blocks_are_counted_from_the_top_and_rounded_up(layers, share, blocks) -> None:
    assert list(upper_blocks(layers, share)) == list(range(layers))[layers - blocks :]


def test_every_block_takes_its_own_of_what_it_gets_ablated(target, features) -> None:
    """Chained hooks: behind each block, and at every token, its own coordinate is gone."""
    ids, mask = target.encode(FORGES)
    with target.hooked(feature_ablation(features, range(3), "projection")), torch.no_grad():
        states = seen(target, ids, mask)
    for block, state in enumerate(states):
        left = state @ features.directions[block].float()
        assert left[mask.bool()].abs().max() < 1e-4


def test_no_hook_stays(target, features) -> None:
    ids, mask = target.encode(FORGES)
    before = target.logits(ids, mask)
    with target.hooked(feature_ablation(features, range(3), "projection")):
        assert not torch.allclose(target.logits(ids, mask), before)
    assert torch.equal(target.logits(ids, mask), before)


def test_its_gradient_holds_the_feature_constant(target) -> None:
    """Autograd against central differences along one direction of the weights, r kept as it was."""
    data = toy_domain().defender_data()
    batch = lessons(target, data, 4, Seed(0)).refused(0)
    with target.trainable(Full()) as weights:
        features = refusal_features(target, FORGES, LAMPS)
        assert not features.directions.requires_grad
        hooks = feature_ablation(features, [1, 2], "mean", torch.tensor([True, False, True, True]))
        random = torch.Generator().manual_seed(3)
        ways = [torch.randn(p.shape, generator=random) for p in weights.parameters]
        with target.hooked(hooks):
            batch_loss(target, batch).backward()
            slope = sum((p.grad * w).sum() for p, w in zip(weights.parameters, ways, strict=True))
            moved = []
            with torch.no_grad():
                for size in (1e-3, -2e-3):
                    for p, w in zip(weights.parameters, ways, strict=True):
                        p.add_(w, alpha=size)
                    moved.append(batch_loss(target, batch).item())
    assert slope.item() == pytest.approx((moved[0] - moved[1]) / 2e-3, rel=2e-2)


def test_adapters_in_force_are_part_of_it(target, features) -> None:
    with target.trainable(LowRank(2)) as weights, torch.no_grad():
        same = refusal_features(target, FORGES, LAMPS)
        for parameter in weights.parameters:
            parameter.add_(0.1)
        other = refusal_features(target, FORGES, LAMPS)
    torch.testing.assert_close(same.directions, features.directions, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(other.directions, features.directions, atol=1e-2)

"""Structure found where names differ, and nothing left out in silence."""

import pytest
import torch
from torch import nn

from holdfast.core import Message, SpecError
from holdfast.models import LowRank, ablation, unit
from holdfast.models.anatomy import examine
from holdfast.models.hooks import hooked
from holdfast.models.writers import find_writers

PROMPTS = [[Message("user", t)] for t in ("what does a warden carry", "be brief")]

# What each adds to the nine: Conv1D and learned positions; additions in place; a scaled residual;
# position embeddings with an offset.
OTHERS = {"gpt2": 2, "falcon": 1, "granite": 1, "opt": 2}


@pytest.mark.parametrize("family", OTHERS)
def test_other_families_are_found_and_silenced_too(handle_of, family, state, same_state):
    changes = {"residual_multiplier": 0.5} if family == "granite" else {}
    target = handle_of(family, **changes)
    before = state(target)
    kinds = [(w.layer, w.kind) for w in target.writers()]
    blocks = [(layer, kind) for layer in range(3) for kind in ("attention", "mlp")]
    assert kinds == [(-1, "embedding")] * OTHERS[family] + blocks
    direction = torch.randn(target.width, generator=torch.Generator().manual_seed(3))
    ids, mask = target.encode(PROMPTS)
    with target.hooked(ablation(direction)):
        by_hooks = target.logits(ids, mask, last=1)
    with target.edited(target.orthogonalised(direction)):
        torch.testing.assert_close(target.logits(ids, mask, last=1), by_hooks, atol=3e-5, rtol=1e-4)
        along = target.residuals(PROMPTS, [-1]) @ unit(direction).float()
        assert along.abs().max() < 1e-5
    with target.trainable(LowRank(2)):
        target.forward(ids, mask).sum().backward()
    same_state(before, state(target))


def test_a_mixture_of_experts_can_be_hooked_but_not_edited(handle_of):
    target = handle_of("mixtral")
    direction = torch.randn(target.width, generator=torch.Generator().manual_seed(3))
    with target.hooked(ablation(direction)):
        along = target.residuals(PROMPTS, [-1]) @ unit(direction).float()
        assert along.abs().max() < 1e-5
    with pytest.raises(SpecError, match=r"block 0's mlp ending in a Mixtral"):
        target.writers()


def test_state_space_models_take_no_adapters(handle_of, state, same_state):
    target = handle_of("mamba")
    before = state(target)
    with pytest.raises(SpecError, match="peft"), target.trainable(LowRank(2)):
        pass
    same_state(before, state(target))


class _Block(nn.Module):
    def __init__(self, extra):
        super().__init__()
        self.mlp = nn.Linear(4, 4)
        self.extra = extra

    def forward(self, states):
        return self.extra(states + self.mlp(states), states)


class _Decoder(nn.Module):
    """Blocks that add something odd."""

    def __init__(self, extra):
        super().__init__()
        self.tokens = nn.Embedding(20, 4)
        self.parts = nn.ModuleList(_Block(extra) for _ in range(2))

    def forward(self, input_ids, attention_mask, use_cache):
        states = self.tokens(input_ids)
        for part in self.parts:
            states = part(states)
        return states


@pytest.mark.parametrize(
    "extra",
    [
        lambda states, _: states + torch.ones(4),  # a constant
        lambda states, before: states + before * before.sigmoid(),  # a product of no module
        lambda states, _: states * torch.tensor([1.0, 2.0, 3.0, 4.0]),  # a scale for each feature
        lambda states, _: states.cumsum(1),
    ],
    ids=["constant", "product", "scales", "sum"],
)
def test_what_cannot_be_followed_is_named(extra):
    model = _Decoder(extra)
    anatomy = examine(model)
    assert any(b.writer is None for b in anatomy.branches)
    with pytest.raises(SpecError, match="block 0"):
        find_writers(model, anatomy)
    change = ("mlp_output", lambda states, _: states)
    with pytest.raises(SpecError, match="block 0"), hooked(model, anatomy, [change]):
        pass
    assert not any(m._forward_hooks for m in model.modules())


def test_a_scaled_stream_is_followed():
    model = _Decoder(lambda states, _: 2.0 * states / 3.0)
    assert all(b.writer is not None for b in examine(model).branches)

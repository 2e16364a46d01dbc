"""Edits and directions."""

import pytest
import torch
from torch import nn

from holdfast.core import Message, SpecError
from holdfast.models import addition, difference_of_means, unit, without
from holdfast.models.anatomy import examine
from holdfast.models.writers import _through, find_writers, orthogonalised

PROMPTS = [[Message("user", t)] for t in ("what does a warden carry", "be brief", "a lamp")]


@pytest.fixture
def target(handle_of):
    return handle_of()


@pytest.fixture
def direction(target):
    return torch.randn(target.width, generator=torch.Generator().manual_seed(5))


def test_an_edit_holds_inside_and_the_same_storage_is_back_outside(target, state, same_state):
    before = state(target)
    storage = target.model.lm_head.weight.data_ptr()
    new = torch.zeros_like(target.model.lm_head.weight)
    with target.edited({"lm_head.weight": new}):
        assert not target.logits(*target.encode(PROMPTS)).any()
        with torch.no_grad():
            target.model.lm_head.weight.add_(1.0)  # even a change in place stays inside
    assert not new.any()
    assert target.model.lm_head.weight.data_ptr() == storage
    same_state(before, state(target))


def test_an_edit_may_be_found_from_the_handle(target):
    def silence(handle):
        return {"lm_head.weight": torch.zeros_like(handle.model.lm_head.weight)}

    with target.edited(silence):
        assert not target.logits(*target.encode(PROMPTS)).any()


def test_edits_nest_and_close_with_their_generator(target, state, same_state):
    before = state(target)

    def attack():
        for value in (1.0, 2.0):
            new = torch.full_like(target.model.lm_head.weight, value)
            with target.edited({"lm_head.weight": new}):
                yield target

    run = attack()
    next(run)
    with target.edited({"lm_head.weight": torch.zeros_like(target.model.lm_head.weight)}):
        pass
    assert float(target.model.lm_head.weight.detach()[0, 0]) == 1.0
    next(run)
    assert float(target.model.lm_head.weight.detach()[0, 0]) == 2.0
    run.close()
    same_state(before, state(target))


@pytest.mark.parametrize(
    "edits", [{"no.such.weight": torch.zeros(3)}, {"lm_head.weight": torch.zeros(3)}]
)
def test_an_edit_that_does_not_fit(target, edits, state, same_state):
    before = state(target)
    with pytest.raises(SpecError, match=next(iter(edits))), target.edited(edits):
        pass
    same_state(before, state(target))


def test_a_tied_matrix_is_edited_once_for_both_ends(handle_of, direction):
    target = handle_of(tied=True)
    edits = target.orthogonalised(direction)
    assert "lm_head.weight" not in edits
    r = unit(direction).float()
    with target.edited(edits):
        assert (target.model.lm_head.weight.detach() @ r).abs().max() < 1e-6


def test_a_tied_matrix_may_be_named_by_either_end(handle_of):
    target = handle_of(tied=True)
    new = torch.zeros_like(target.model.lm_head.weight)
    with target.edited({"lm_head.weight": new}):
        assert not target.model.model.embed_tokens.weight.detach().any()


def test_every_value_but_the_component_is_kept(target, direction):
    edits = target.orthogonalised(direction)
    r = unit(direction)
    for writer in target.writers():
        taken = writer.parameter.detach().double() - edits[writer.name].double()
        along = torch.tensordot(taken, r, dims=([writer.axis], [0]))
        rest = torch.tensordot(along, r, dims=0)
        torch.testing.assert_close(taken, rest if writer.axis == 1 else rest.T, atol=1e-6, rtol=0)


def test_difference_of_means_is_in_float64():
    ones, others = torch.full((3, 2, 4), 1e8 + 8), torch.full((5, 2, 4), 1e8)
    found = difference_of_means(ones, others)
    assert found.dtype == torch.float64
    assert found.shape == (2, 4)
    assert torch.equal(found, torch.full((2, 4), 8.0, dtype=torch.float64))


def test_without_leaves_dtype_and_the_rest(direction):
    states = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    r = unit(direction).float()
    found = without(states, direction)
    assert (found @ r).abs().max() < 1e-6
    torch.testing.assert_close(without(found, direction), found, atol=1e-6, rtol=0)
    torch.testing.assert_close(states - found, (states @ r)[..., None] * r, atol=1e-6, rtol=1e-5)
    assert without(states.bfloat16(), direction).dtype == torch.bfloat16


def test_addition_reaches_one_block(target, direction):
    plain = target.residuals(PROMPTS, [-1])
    with target.hooked(addition(direction, 1)):
        moved = target.residuals(PROMPTS, [-1])
    # what a block was given is read before the hook changes it
    assert torch.equal(moved[:, :1], plain[:, :1])
    difference = moved[:, 1] - plain[:, 1]
    torch.testing.assert_close(difference[:, 0], direction.expand(3, -1), atol=1e-5, rtol=1e-4)


class _Block(nn.Module):
    """A block with a bias on every matrix and a shifted norm behind its MLP."""

    def __init__(self, width, norm, mixes):
        super().__init__()
        self.mix = _Mixer(width) if mixes else nn.Linear(width, width)
        self.up = nn.Linear(width, 2 * width)
        self.mlp = nn.Linear(2 * width, width)
        self.norm = norm(width)
        for parameter in self.norm.parameters():
            nn.init.normal_(parameter)

    def forward(self, states):
        states = states + 0.5 * self.mix(states)
        return states + self.norm(self.mlp(self.up(states).relu()))


class _Mixer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.out = nn.Linear(width, width)

    def forward(self, states):
        return self.out(states.cumsum(1))


class _Decoder(nn.Module):
    """A decoder that no library knows."""

    def __init__(self, norm=nn.LayerNorm, width=10):
        super().__init__()
        self.tokens = nn.Embedding(20, width)
        self.places = nn.Embedding(8, width)
        self.parts = nn.ModuleList(_Block(width, norm, True) for _ in range(2))

    def forward(self, input_ids, attention_mask, use_cache):
        states = self.tokens(input_ids) + self.places(torch.arange(input_ids.shape[1]))
        for part in self.parts:
            states = part(states)
        return states


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_an_unknown_decoder_with_scales_shifts_and_places_is_silenced_too(norm):
    torch.manual_seed(0)
    model = _Decoder(norm)
    anatomy = examine(model)
    assert [(b.layer, b.kind) for b in anatomy.branches] == [
        (-1, "embedding"), (-1, "embedding"), (0, "attention"), (0, "mlp"), (1, "attention"), (1, "mlp"),
    ]  # fmt: skip
    assert anatomy.unfed == {"parts.0.mix.out"}
    direction = torch.randn(10)
    edits = orthogonalised(model, anatomy, direction)
    shifts = {f"parts.{i}.norm.bias" for i in (0, 1)} if norm is nn.LayerNorm else set()
    assert shifts <= set(edits)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(edits.get(name, parameter))
        states = model(torch.arange(5)[None], None, False)
    assert (states @ unit(direction).float()).abs().max() < 3e-6


@pytest.mark.parametrize(("norm", "centred"), [(nn.LayerNorm, True), (nn.RMSNorm, False)])
def test_the_gain_is_read_off_the_norm(norm, centred):
    layer = norm(6)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    r = unit(torch.randn(6, generator=torch.Generator().manual_seed(1)))
    v = layer.weight.detach().double() * r
    torch.testing.assert_close(
        _through(layer, r), v - v.mean() if centred else v, atol=1e-4, rtol=1e-3
    )


class _Experts(nn.Module):
    """A branch that ends in no single matrix."""

    def __init__(self, width):
        super().__init__()
        self.stack = nn.Parameter(torch.randn(2, width, width))

    def forward(self, states):
        return torch.einsum("btd,edf->btf", states, self.stack) * torch.sigmoid(states)


def test_a_branch_without_one_matrix_is_named():
    model = _Decoder()
    for part in model.parts:
        part.mlp = nn.Sequential(nn.Linear(20, 10), _Experts(10))
        part.norm = nn.Identity()
    anatomy = examine(model)
    assert anatomy.branches[-1].writer is None
    with pytest.raises(SpecError, match=r"block 0's mlp ending in a _Experts"):
        find_writers(model, anatomy)


def test_a_model_without_a_residual_chain_is_refused():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(20, 4)

        def forward(self, input_ids, attention_mask, use_cache):
            return self.tokens(input_ids)

    with pytest.raises(SpecError, match="residual stream"):
        examine(Odd())

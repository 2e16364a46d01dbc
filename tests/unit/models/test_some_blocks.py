"""Training some blocks alone: nothing else moves, and only they are billed."""

import pytest
import torch

from holdfast.core import Message, SpecError
from holdfast.models import Full

PROMPTS = [[Message("user", t)] for t in ("what does a warden carry", "be brief", "a lamp")]


def test_only_the_blocks_named_are_trained(handle_of, state, same_state) -> None:
    target = handle_of()
    before = state(target)
    with target.trainable(Full(blocks=(1, 2))) as weights:
        names = {n for n, p in target.model.named_parameters() if p.requires_grad}
        assert set(weights.names) == names
        assert {n.split(".")[2] for n in names} == {"1", "2"}
        assert all(n.startswith("model.layers.") for n in names)
        target.forward(*target.encode(PROMPTS)).sum().backward()
        others = [p for n, p in target.model.named_parameters() if n not in names]
        assert all(p.grad is None for p in others)
        with torch.no_grad():
            for parameter in weights.parameters:
                assert parameter.grad is not None
                parameter.add_(1.0)
    same_state(before, state(target))


@pytest.mark.parametrize(
    ("trained", "share"), [(None, 1.0), ((0,), 1.0), ((1, 2), 2 / 3), ((2,), 1 / 3)]
)
def test_a_pass_back_ends_at_the_lowest_trained_block(handle_of, trained, share) -> None:
    target = handle_of()
    ids, mask = target.encode(PROMPTS)
    nowhere = torch.zeros_like(ids, dtype=torch.bool)
    with target.trainable(Full(trained)):
        states = target.forward_states(ids, mask, nowhere)[1]
        before = target.meter.spend.flops
        states[-1].sum().backward()
        cost = target.meter.spend.flops - before
    whole = target.meter.flops.backward(ids.numel(), ids.numel() * ids.shape[1], 0)
    assert cost == pytest.approx(share * whole, rel=0.02)


@pytest.mark.parametrize("blocks", [(), (-1,), (3,), (0, 7)])
def test_blocks_that_are_not_there_are_refused(handle_of, blocks) -> None:
    with pytest.raises(SpecError, match="blocks"), handle_of().trainable(Full(blocks)):
        pass

"""The final norm is found in every family, and what is read out of the last state is said."""

import pytest
import torch
from tests.toys import FAMILIES

from holdfast.core import Message
from holdfast.models.readout import final_norm, readout

PROMPTS = [[Message("user", t)] for t in ("what does a warden carry", "be brief", "a lamp")]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_state_reads_out_as_the_models_logits(
    handle_of, family, state, same_state
) -> None:
    target = handle_of(family)
    before = state(target)
    read = readout(target)
    same_state(before, state(target))
    logits, states = target.forward_states(*target.encode(PROMPTS))
    found = read(states[-1])
    cap = getattr(target.model.config, "final_logit_softcapping", None)
    if cap:
        found = cap * (found / cap).tanh()
    torch.testing.assert_close(found, logits)
    assert not torch.allclose(read(states[1]), logits, atol=1e-2)


def test_looking_for_it_costs_nothing_and_leaves_nothing(handle_of) -> None:
    target = handle_of()
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in target.model.modules()]
    for _ in range(3):
        assert final_norm(target) is target.model.model.norm
    after = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in target.model.modules()]
    assert after == hooks
    assert target.meter.spend.tokens == 0

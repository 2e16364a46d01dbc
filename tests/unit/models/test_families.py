"""Each of nine families, written to disk and loaded like a user's, against plain transformers."""

import pytest
import torch
from tests.toys import FAMILIES
from transformers import AutoModelForCausalLM

from holdfast.models import Full, LowRank, ablation, unit

BEHIND_NORM = {"gemma2", "gemma3_text", "olmo2"}

pytestmark = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def target(family, handle_of):
    return handle_of(family)


@pytest.fixture
def plain(family, toy):
    return AutoModelForCausalLM.from_pretrained(toy(family), dtype=torch.float32).eval()


@torch.no_grad()
def test_logits_equal_those_of_plain_transformers_without_padding(target, plain, prompts):
    ids, mask = target.encode(prompts)
    padded = target.logits(ids, mask)
    for row, prompt in enumerate(prompts):
        alone = torch.tensor([target.chat.prompt_ids(prompt)])
        expected = plain(input_ids=alone).logits[0]
        torch.testing.assert_close(padded[row, -len(expected) :], expected, atol=2e-5, rtol=1e-4)
    last = target.logits(ids, mask, last=2)
    torch.testing.assert_close(last, padded[:, -2:], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_residuals_are_the_hidden_states(target, plain, prompts):
    found = target.residuals(prompts, [-1, -3])
    assert found.shape == (len(prompts), target.layers + 1, 2, target.width)
    for row, prompt in enumerate(prompts):
        outputs = []
        hook = target.anatomy.blocks[-1].register_forward_hook(
            lambda _, __, output, seen=outputs: seen.append(
                output[0] if isinstance(output, tuple) else output
            )
        )
        alone = torch.tensor([target.chat.prompt_ids(prompt)])
        target.model(input_ids=alone)
        hook.remove()
        states = plain(input_ids=alone, output_hidden_states=True).hidden_states
        # transformers norms the last entry; the one before the norm comes from the block
        expected = torch.stack([*states[:-1], outputs[0]])[:, 0, [-1, -3]]
        torch.testing.assert_close(found[row], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("stops", [(6,), (6, *range(40, 120))])
def test_greedy_answers_equal_generate_token_for_token(target, plain, prompts, stops, monkeypatch):
    monkeypatch.setattr(target.chat, "stops", stops)
    ids, mask = target.encode(prompts)
    expected = plain.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=30, do_sample=False,
        eos_token_id=list(stops), pad_token_id=0,
    )[:, ids.shape[1] :].tolist()  # fmt: skip
    found = target.generate(prompts, max_new_tokens=30)
    for row, completion in zip(expected, found, strict=True):
        ends = [i for i, token in enumerate(row) if token in stops]
        answer = row[: ends[0]] if ends else row
        assert completion.finished == bool(ends)
        assert completion.tokens == len(answer)
        assert completion.text == target.chat.decode([answer])[0]


@pytest.mark.parametrize("spec", [Full(), LowRank(4)], ids=["full", "low_rank"])
def test_a_step_lowers_the_loss_and_leaving_restores_every_bit(
    target, prompts, spec, state, same_state
):
    before = state(target)
    ids, mask = target.encode(prompts)
    with target.trainable(spec) as weights:
        adam = torch.optim.AdamW(weights.parameters, lr=1e-2)
        losses = []
        for _ in range(3):
            logits = target.forward(ids, mask)
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
            )
            losses.append(loss.item())
            adam.zero_grad()
            loss.backward()
            adam.step()
        assert all(p.grad is not None for p in weights.parameters)
        assert losses[2] < losses[0]
        assert not target.model.training
    same_state(before, state(target))


def test_writers_are_found_by_structure(target, family):
    writers = target.writers()
    kinds = [(w.layer, w.kind) for w in writers]
    blocks = [(layer, kind) for layer in range(3) for kind in ("attention", "mlp")]
    assert kinds == [(-1, "embedding"), *blocks]
    assert all(w.parameter.shape[w.axis] == target.width for w in writers)
    assert all((w.norm is not None) == (family in BEHIND_NORM) for w in writers[1:])
    assert all((w.bias is not None) == (family == "gpt_neox") for w in writers[1:])
    expected = {
        "gpt_neox": {"embed_in", "dense", "dense_4h_to_h"},
    }.get(family, {"embed_tokens", "o_proj", "down_proj"})
    assert {w.name.split(".")[-2] for w in writers} == expected


def test_the_edit_silences_a_direction_and_equals_the_hooks(
    target, family, prompts, state, same_state
):
    before = state(target)
    direction = torch.randn(target.width, generator=torch.Generator().manual_seed(3))
    r = unit(direction).float()
    ids, mask = target.encode(prompts)
    plain = target.logits(ids, mask, last=1)
    with target.hooked(ablation(direction)):
        hooked = target.logits(ids, mask, last=1)
        assert (target.residuals(prompts, [-1, -2]) @ r).abs().max() < 3e-6
    edits = target.orthogonalised(direction)
    with target.edited(edits):
        edited = target.logits(ids, mask, last=1)
        assert (target.residuals(prompts, [-1, -2]) @ r).abs().max() < 3e-6
        again = target.orthogonalised(direction)
        assert all(torch.allclose(again[n], edits[n], atol=1e-6) for n in edits)
        for writer in target.writers():
            if writer.norm is None:
                along = torch.tensordot(r, writer.parameter.detach(), dims=([0], [writer.axis]))
                assert along.norm() / writer.parameter.norm() < 1e-6
    assert (hooked - plain).abs().max() > 0.1
    if family in BEHIND_NORM:
        assert (hooked - edited).abs().max() > 1e-3  # the norm rescales what is left
    else:
        torch.testing.assert_close(hooked, edited, atol=2e-5, rtol=1e-4)
    same_state(before, state(target))


def test_hooks_see_the_residual_stream_of_every_block(target, prompts):
    seen = {site: [] for site in ("block_input", "attention_output", "mlp_output", "block_output")}

    def watch(site):
        def change(states, layer):
            seen[site].append((layer, states))
            return states

        return (site, change)

    ids, mask = target.encode(prompts)
    with target.hooked([watch(site) for site in seen]):
        target.logits(ids, mask)
    for layer in range(3):
        parts = [dict(seen[site])[layer] for site in seen]
        torch.testing.assert_close(parts[0] + parts[1] + parts[2], parts[3], atol=1e-5, rtol=1e-4)

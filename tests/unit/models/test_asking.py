"""Ways of asking, one inside another; and adapters that are settled meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from holdfast.core import Message, Seed, SpecError
from holdfast.models import Asking, Full, LowRank
from holdfast.models.asking import compose

QUESTION = [Message("user", "what is the lamp")]


def said(word):
    """Puts a word before the user's turn."""
    return lambda prompt: [replace(m, content=f"{word} {m.content}") for m in prompt]


@pytest.fixture
def target(handle_of):
    return handle_of()


def text(target) -> str:
    return target.chat.decode([target.prompt_ids(QUESTION)])[0]


def test_the_inner_asks_the_model_that_the_outer_makes(target):
    outer = Asking(rewrite=said("red"), prefill=" first", reading=lambda t: t.removeprefix("a"))
    inner = Asking(rewrite=said("tin"), prefill=" then", reading=lambda t: t.removeprefix("b"))
    with target.asking(outer):
        alone = text(target)
        with target.asking(inner):
            both = text(target)
        assert text(target) == alone
    assert alone.endswith(" first")
    assert "red what" in alone
    assert both == alone.replace("red what", "red tin what") + " then"
    assert compose(outer, inner).reading("abc") == "c"
    assert compose(inner, outer).reading("abc") == "bc"
    assert target.asks_plainly


def test_nothing_is_added_where_nothing_is_said():
    outer = Asking(rewrite=said("red"), prefill="first", temperature=0.5, seed=Seed(1), top_p=0.9)
    for both in (compose(outer, Asking()), compose(Asking(), outer)):
        for name in ("rewrite", "prefill", "temperature", "seed", "top_p", "soft", "reading"):
            assert getattr(both, name) is getattr(outer, name) or name == "prefill"
        assert both.prefill == "first"
    warmer = Asking(temperature=2.0, seed=Seed(2))
    assert (compose(outer, warmer).temperature, compose(outer, warmer).seed) == (2.0, Seed(2))
    assert compose(warmer, outer).top_p == 0.9


def test_plainly_inside_is_plain(target):
    plain = text(target)
    with target.asking(Asking(rewrite=said("red"))), target.asking(None):
        assert text(target) == plain
        with target.asking(Asking(rewrite=said("tin"))):
            assert text(target) == plain.replace("what", "tin what")


@torch.no_grad()
def test_soft_tokens_stay_in_force_inside(target):
    soft = torch.randn(3, target.width, generator=torch.Generator().manual_seed(0))
    outer, words = Asking(soft=soft), Asking(prefill=" a lamp", rewrite=said("tin"))

    def logits():
        with target.measuring():
            return target.logits(*target.encode([QUESTION]), last=1)

    with target.asking(outer), target.asking(words):
        inside = logits()
    with target.asking(words), target.asking(outer):
        outside = logits()
    with target.asking(words):
        without = logits()
    assert torch.equal(inside, outside)
    assert not torch.allclose(inside, without)
    with (
        target.asking(outer),
        pytest.raises(SpecError, match="soft tokens"),
        target.asking(Asking(soft=soft)),
    ):
        pass
    assert target.asks_plainly


def shouted(prompt) -> str:
    """A format."""
    return "!".join(turn.content for turn in prompt)


@pytest.mark.parametrize("inside", [True, False])
def test_a_format_is_that_of_either_and_all_else_is_done_in_it(target, inside: bool):
    form, other = Asking(form=shouted), Asking(rewrite=said("tin"), prefill=" a lamp")
    outer, inner = (other, form) if inside else (form, other)
    with target.asking(outer), target.asking(inner):
        assert text(target) == "tin what is the lamp a lamp"
    assert compose(form, Asking()).form is compose(Asking(), form).form is shouted
    assert target.asks_plainly


def test_there_is_one_format_and_no_place_for_soft_tokens_in_it(target):
    form, soft = Asking(form=shouted), Asking(soft=torch.zeros(3, target.width))
    for outer, inner, wrong in ((form, form, "one format"), (form, soft, "tail"),
                                (soft, form, "tail")):  # fmt: skip
        with (
            target.asking(outer),
            pytest.raises(SpecError, match=wrong),
            target.asking(inner),
        ):
            pass
    with pytest.raises(SpecError, match="another format"):
        Asking(form=shouted, soft=soft.soft)
    assert target.asks_plainly


@pytest.mark.parametrize("spec", [Full(), LowRank(2)], ids=["full", "low_rank"])
def test_what_is_settled_knows_nothing_of_the_training(target, spec, state, same_state):
    before = state(target)
    ids, mask = target.encode([QUESTION])
    with target.trainable(spec) as weights:
        adam = torch.optim.AdamW(weights.parameters, lr=1e-2)
        for _ in range(2):
            target.forward(ids, mask).square().mean().backward()
            adam.step()
        trained = target.logits(ids, mask)
        gradients = [p.grad for p in weights.parameters]
        with target.settled():
            assert [n for n, *_ in before[1]] == [n for n, _ in target.model.named_parameters()]
            assert not any(p.requires_grad or p.grad is not None for p in target.model.parameters())
            assert not hasattr(target.model, "peft_config")
            torch.testing.assert_close(target.logits(ids, mask), trained, atol=1e-5, rtol=1e-4)
            with target.trainable(LowRank(2)):
                pass
        assert all(p.grad is g for p, g in zip(weights.parameters, gradients, strict=True))
        assert torch.equal(target.logits(ids, mask), trained)
    same_state(before, state(target))

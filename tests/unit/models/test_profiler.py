"""A profiler beside the meter: near one, off the bill, and blind where it should be."""

import pytest
import torch
from tests.toys import FAMILIES

from holdfast.core import Message, Spend
from holdfast.models import profiler
from holdfast.models.flops import Flops
from holdfast.models.profiler import profiled_ratio


@pytest.mark.parametrize("family", FAMILIES)
def test_formula_and_profiler_agree_within_five_per_cent(family, handle_of, prompts):
    assert profiled_ratio(handle_of(family), prompts) == pytest.approx(1, abs=0.05)


def test_fused_attention_is_counted_as_attention(handle_of, monkeypatch):
    handle = handle_of()
    if handle.model.config._attn_implementation != "sdpa":
        pytest.skip("this version of transformers does attention otherwise")
    long = [[Message("user", "a lamp " * 40)]]
    whole = profiled_ratio(handle, long)
    monkeypatch.setattr(profiler, "_UNSEEN", {})
    assert profiled_ratio(handle, long) > whole  # the kernel goes unseen, so less is counted


def test_a_formula_that_counts_half_is_found_out(handle_of, prompts, monkeypatch):
    handle = handle_of()
    plain = handle.meter.plain
    half = Flops(plain.body // 2, plain.head // 2, plain.attention // 2, plain.unfed)
    monkeypatch.setattr(handle.meter, "plain", half)
    assert profiled_ratio(handle, prompts) == pytest.approx(0.5, abs=0.03)


def test_it_is_on_nobodys_bill_and_changes_nothing(handle_of, prompts):
    handle = handle_of()
    ids, mask = handle.encode(prompts)
    before = handle.logits(ids, mask)
    handle.meter.reset()
    profiled_ratio(handle, prompts)
    assert handle.meter.spend == Spend()
    assert torch.equal(handle.logits(ids, mask), before)


def test_shapes_that_the_counter_refuses_are_no_fault_of_the_model(handle_of, prompts, monkeypatch):
    def refuse(*shapes, **more):
        raise AssertionError("shapes are incompatible")

    monkeypatch.setattr(profiler, "FlopCounterMode", lambda **_: _Refusing(refuse))
    handle = handle_of()
    assert profiled_ratio(handle, prompts) is None
    assert handle.meter.spend == Spend()


class _Refusing:
    def __init__(self, refuse):
        self.refuse = refuse

    def __enter__(self):
        self.refuse()

    def __exit__(self, *_):
        return None

"""A sum of losses by terms: the same gradient, one graph at a time, and no step on a NaN."""

import math
import weakref
from types import SimpleNamespace

import pytest
import torch

from holdfast.core import SpecError
from holdfast.models import Weights
from holdfast.train.terms import by_terms, check_weights


def test_the_gradient_is_that_of_the_sum() -> None:
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    pull = by_terms(lambda n: (w**2).sum() * n, lambda _: None, lambda _: w[0])(
        Weights(("w",), (w,))
    )
    assert pull(3) == pytest.approx(3 * 5.0 + 1.0)
    assert w.grad.tolist() == [3 * 2.0 + 1.0, 3 * 4.0]


def test_a_terms_graph_is_gone_before_the_next() -> None:
    w = torch.nn.Parameter(torch.ones(4))
    seen = []

    def first(_):
        middle = w * 2.0
        seen.append(weakref.ref(middle))
        return (middle**2).sum()

    def second(_):
        assert seen[-1]() is None
        return w.sum()

    by_terms(first, second)(Weights(("w",), (w,)))(0)
    assert len(seen) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_ends_the_step(bad) -> None:
    w = torch.nn.Parameter(torch.ones(1))
    late = []
    value = by_terms(lambda _: w.sum() * bad, lambda _: late.append(1))(Weights(("w",), (w,)))(0)
    assert math.isnan(value)
    assert not late


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf, "much"])
def test_a_weight_is_a_number_from_0(wrong) -> None:
    check_weights(SimpleNamespace(alpha=0, retain=2.5), "alpha", "retain")
    with pytest.raises(SpecError, match="retain"):
        check_weights(SimpleNamespace(alpha=1.0, retain=wrong), "alpha", "retain")

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from holdfast.core import Spend, Subject
from holdfast.price import Rate, price_table, wilson, words
from holdfast.price.cost import Estimate, Pricing, one_figure

SUBJECT = Subject("m", "a" * 64, 2_000_000, "float32", "cpu", "llama", 1e15)


def test_dollars_by_hand() -> None:
    # The note's own check: 1,000 steps of 64 sequences of 1,024 tokens on 8B, about 9 dollars.
    flops = 6 * 8e9 * 1000 * 64 * 1024
    usd = price_table().usd(flops)
    low, mid, high = (
        flops / (u * 989e12) / 3600 * r for u, r in ((0.5, 1.99), (0.3, 2.95), (0.1, 5.0))
    )
    assert usd == Estimate(one_figure(low), one_figure(mid), one_figure(high))
    assert usd.mid == 9


def test_scaling_is_linear_in_parameters() -> None:
    cost = Pricing(SUBJECT, 8e9, price_table()).cost(Spend(flops=1e12))
    assert cost.usd_at_size == price_table().usd(1e12 * 4000)
    assert cost.seconds_at_size.mid == one_figure(4e15 / (0.3 * 989e12))
    assert cost.seconds_at_size.low < cost.seconds_at_size.high
    assert cost.pretraining_share == pytest.approx(1e-3)


@given(flops=st.floats(1.0, 1e20), times=st.integers(2, 1000))
def test_dollars_are_linear_before_rounding(flops: float, times: int) -> None:
    one, many = (price_table().exact_usd(n * flops) for n in (1, times))
    assert many == pytest.approx([times * usd for usd in one])
    assert price_table().usd(flops) == Estimate(*map(one_figure, one))


def test_nothing_is_computed_twice() -> None:
    # The meter counts each pass as it happens, and no pass keeps fewer activations than it needs.
    assert Pricing(SUBJECT, 8e9, price_table()).cost(Spend(flops=3e12)).hardware_flops == 3e12


def test_unknown_pretraining_is_none() -> None:
    unknown = Subject("m", "a" * 64, 2_000_000, "float32", "cpu", "llama")
    assert Pricing(unknown, 8e9, price_table()).cost(Spend(flops=1e12)).pretraining_share is None


def test_price_table_is_dated_and_marked() -> None:
    table = price_table()
    assert len(table.digest) == 64 and "unverified" in table.note
    assert table.device.sku == "H100 SXM" and all(d.date and d.source for d in table.devices)
    for device in table.devices:
        assert list(device.usd_per_hour) == sorted(device.usd_per_hour)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (50, 100), (319, 320)])
def test_wilson_agrees_with_scipy(k: int, n: int) -> None:
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    ours = wilson(k / n, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_wilson_half_widths_of_the_note() -> None:
    for n, half in ((100, 0.096), (320, 0.054)):
        rate = wilson(0.5, n)
        assert (rate.high - rate.low) / 2 == pytest.approx(half, abs=6e-4)


@given(mean=st.floats(0, 1), n=st.integers(1, 10_000))
def test_wilson_holds_its_mean(mean: float, n: int) -> None:
    rate = wilson(mean, n)
    assert isinstance(rate, Rate) and 0 <= rate.low <= rate.mean <= rate.high <= 1


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (16, "16"), (2048, "2,048"), (12_600, "13k"), (99_960, "100k"), (999_600, "1M"),
     (8e9, "8B"), (1.5e6, "1.5M"), (2.04e12, "2T")],
)  # fmt: skip
def test_count(value: float, said: str) -> None:
    assert words.count(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 ms"), (4e-4, "< 1 ms"), (0.04, "40 ms"), (0.4, "0.4 s"), (12.3, "12 s"),
     (186, "3.1 min"), (8640, "2.4 h"), (86400 * 5, "5 d")],
)  # fmt: skip
def test_duration(value: float, said: str) -> None:
    assert words.duration(value) == said
    assert words.duration(value, more=True) == f"> {said}".replace("< 1 ms", "0 ms")


def test_dollars_and_flops() -> None:
    assert [words.dollars(v) for v in (0, 0.03, 0.9, 9, 300, 40_000)] == [
        "< $0.01", "$0.03", "$0.90", "$9", "$300", "$40k",
    ]  # fmt: skip
    assert words.dollars(3e-4, more=True) == "> $0.0003"
    assert words.dollars(3e-9, more=True) == "> $0" and words.dollars(9, more=True) == "> $9"
    assert [words.flops(v) for v in (0, 3.14e11, 1e9)] == ["0", "3.1×10¹¹", "10⁹"]


@given(value=st.floats(1e-12, 1e12))
def test_one_figure_has_one_figure(value: float) -> None:
    digits = f"{one_figure(value):.12e}".split("e")[0].replace(".", "").rstrip("0")
    assert len(digits) <= 1 and one_figure(value) == pytest.approx(value, rel=0.5)

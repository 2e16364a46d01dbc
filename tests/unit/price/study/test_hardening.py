"""Factors, worst cases and leverage against sums done by hand."""

from dataclasses import replace

import pytest

from holdfast.price.study.hardening import Bought, Break, _bought, cheapest, leverage, middle


def cost(flops: float, more: bool = False, broken: int = 3) -> Break:
    return Break(flops, more, steps=4, broken=broken, seeds=3)


def test_a_factor_is_the_ratio_of_two_costs() -> None:
    row = _bought("a", cost(2e9), cost(8e9))
    assert (row.factor, row.more) == (4.0, False)


def test_an_unbroken_model_gives_a_lower_bound() -> None:
    row = _bought("a", cost(2e9), cost(8e9, more=True, broken=0))
    assert (row.factor, row.more) == (4.0, True)


@pytest.mark.parametrize("base", [None, cost(0.0), cost(2e9, more=True)])
def test_no_factor_where_the_base_is_not_broken_or_at_no_cost(base) -> None:
    assert _bought("a", base, cost(8e9)) == Bought("a", base, cost(8e9), None, more=False)


def test_the_cheapest_break_goes_before_any_bound() -> None:
    assert cheapest([cost(9e9), cost(1e9, more=True), None, cost(5e9)]) == cost(5e9)
    assert cheapest([cost(9e9, more=True), cost(3e9, more=True)]) == cost(3e9, more=True)
    assert cheapest([None]) is None


def test_what_came_to_its_own_end_bounds_no_price() -> None:
    ended, lost = (
        replace(cost(f, more=True), **kind)
        for f, kind in ((1e9, {"barred": True}), (2e9, {"barred": True, "lost": True}))
    )
    assert cheapest([ended, lost, cost(7e9, more=True)]) == cost(7e9, more=True)
    assert cheapest([ended, lost]) == lost


def test_leverage_is_what_a_break_costs_more_over_what_the_defence_cost() -> None:
    assert leverage(1e9, 5e9, 2e9) == 2.0
    assert leverage(1e9, 5e9, 0.0) is None


def test_the_middle_leaves_out_what_is_missing() -> None:
    assert middle([3.0, None, 1.0]) == 2.0
    assert middle([None]) is None

"""Whether a search has levelled out, against the exact sums for few settings."""

from __future__ import annotations

import time
from dataclasses import replace
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import Spend
from holdfast.price import AttackPrice, SettingResult, price
from holdfast.price.soundness.searching import expected_best, levelling
from holdfast.price.statistics import best_of
from holdfast.price.statistics.plateau import plateau


def attack_with(locks: ModuleType, harms: list[float]) -> AttackPrice:
    tried = tuple(SettingResult({"x": i}, 1, 0, Spend(), h, False) for i, h in enumerate(harms))
    found = price(locks.results(locks.Lock())).attack("finetune")
    return replace(found, settings_tried=tried)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.data())
def test_the_best_of_k_is_that_of_the_exact_sum(scores: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(scores)))
    assert expected_best(scores, k) == pytest.approx(best_of.expected_best(scores, k), abs=1e-9)


@pytest.mark.parametrize(
    "harms", [[0.5] * 9, [0.0] * 8 + [0.9], [i / 10 for i in range(9)], [0.8] * 6 + [0.1] * 3]
)
def test_it_agrees_with_the_plateau_of_few_settings(locks: ModuleType, harms: list[float]) -> None:
    found = levelling(attack_with(locks, harms), 40)
    best = max(harms)
    exact = plateau(harms, (best * (1 - best) / 40) ** 0.5)
    assert found is not None and found.reached == exact.reached
    assert found.gain == pytest.approx(exact.gain, abs=1e-9)


def test_few_settings_tell_nothing_and_none_nothing_at_all(locks: ModuleType) -> None:
    two = levelling(attack_with(locks, [0.1, 0.9]), 40)
    assert two is not None and (two.gain, two.reached) == (None, None)
    assert levelling(attack_with(locks, [0.1, 0.9]), 0) is None
    assert levelling(attack_with(locks, []), 40) is None


def test_thousands_of_settings_take_no_time(locks: ModuleType) -> None:
    attack = attack_with(locks, [i % 97 / 97 for i in range(10_000)])
    began = time.process_time()
    found = levelling(attack, 200)
    assert found is not None and found.reached is True
    assert time.process_time() - began < 0.5

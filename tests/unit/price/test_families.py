"""Every attack that ships has a family, and training is told by what it trains."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast.attacks
from holdfast.price.families import Family, combined, families


@pytest.mark.parametrize(
    "name", sorted(p.stem for p in Path(holdfast.attacks.__path__[0]).glob("[!_]*.py"))
)
def test_every_attack_has_a_family(name: str) -> None:
    if name != "then":  # known by the two that it runs
        assert families(name, {}) != {Family.OTHER}


def test_what_is_trained_decides() -> None:
    assert families("jailbreak_tuning", {"weights": "low_rank"}) == {Family.LORA}
    assert families("jailbreak_tuning", {"weights": "full"}) == {Family.FULL}
    assert families("ablate_span", {"weights": "low_rank"}) == {Family.EDIT}


def test_two_attacks_as_one_are_of_both_families() -> None:
    settings = {
        "first": {"attack": "jailbreak_tuning", "settings": {"weights": "low_rank"}},
        "second": {"attack": "prefill", "settings": {}},
    }
    assert families("jailbreak_tuning+prefill", settings) == {Family.LORA, Family.PROMPT}
    assert combined("jailbreak_tuning+prefill") and not combined("lora")


def test_a_plug_in_is_of_another_family() -> None:
    assert families("of_my_own", {}) == {Family.OTHER}

"""What a comparison with an audit can see."""

from __future__ import annotations

import math
from types import ModuleType

import pytest

from holdfast.price import price
from holdfast.price.statistics.detectable import detectable_fold, detectable_paired


def test_prompts_and_seeds_of_the_audit_count(locks: ModuleType) -> None:
    made = [locks.Lock(seed=s, opens=2 << s) for s in range(5)]
    found = price(locks.results(*made)).detectable
    assert found is not None and found.prompts == 40 and found.seeds == 5
    assert found.effective < 20  # of 40 prompts, two each about one subject
    assert found.paired == detectable_paired(found.effective) and found.least_p == 2 / 252
    # Costs of 2, 4 ... 32: their spread, and that of a break within a doubling, where units lie
    # between: not so between 1 and 2.
    spread = (2.5 + 4 / 5 / 12) * math.log(2) ** 2
    assert found.log_sd == pytest.approx(math.sqrt(spread))
    assert found.fold == pytest.approx(detectable_fold(5, math.sqrt(spread)))


def test_three_seeds_can_show_no_difference_in_cost(locks: ModuleType) -> None:
    priced = price(locks.results(*(locks.Lock(seed=s) for s in range(3))))
    assert priced.detectable is not None and priced.detectable.fold is None
    assert priced.detectable.least_p == pytest.approx(0.1)
    said = next(note for note in priced.notes if note.startswith("Compared with"))
    assert "40 prompts and 3 seeds" in said and "smallest p is 0.10" in said


def test_seeds_that_differ_see_less(locks: ModuleType) -> None:
    alike = [locks.Lock(seed=s, opens=4, open_harm=0.8) for s in range(5)]
    apart = [locks.Lock(seed=s, opens=4, open_harm=0.6 + 0.1 * s) for s in range(4)]
    one, other = (price(locks.results(*made)).detectable for made in (alike, apart))
    assert one is not None and other is not None
    assert one.seed_sd == 0 and other.seed_sd == pytest.approx(math.sqrt(1 / 60), abs=0.005)
    assert one.with_seeds is not None and other.with_seeds is not None
    assert one.with_seeds < other.with_seeds


def test_one_seed_says_nothing_of_others(locks: ModuleType) -> None:
    priced = price(locks.results(locks.Lock()))
    found = priced.detectable
    assert found is not None and (found.seed_sd, found.with_seeds, found.fold) == (None,) * 3
    assert found.least_p == 1.0 and found.unpaired is not None
    assert any("40 prompts each" in note for note in priced.notes)


def test_prompts_about_one_subject_go_together(locks: ModuleType) -> None:
    # The locks' scores are ones, then zeros, and two prompts in a row are about one subject.
    found = price(locks.results(locks.Lock(open_harm=0.5))).detectable
    assert found is not None and found.effective == pytest.approx(20, abs=1)


def test_an_empty_ledger_still_has_prompts(locks: ModuleType) -> None:
    from dataclasses import replace

    empty = price(replace(locks.results(), records=()))
    assert empty.detectable is not None and empty.detectable.seeds is None
    bare = price(replace(locks.results(), records=(), splits={}))
    assert bare.detectable is None

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from holdfast.core import Outcome
from holdfast.price import PricedAudit, price
from holdfast.report import render_html, shown


@pytest.fixture
def results(locks: ModuleType):
    lock = locks.Lock
    made = [
        lock(seed=s, settings={"rank": r}, opens=r if s else 64) for r in (4, 8, 16) for s in (0, 1)
    ]
    crash = lock(attack="lora", outcome=Outcome.CRASHED, error="out of memory")
    return locks.results(*made, crash, replace(crash, seed=1))


@pytest.fixture
def large(results, monkeypatch: pytest.MonkeyPatch) -> PricedAudit:
    """An audit of 8 trials on a page that shows 4 rows."""
    monkeypatch.setattr(shown, "ROWS", 4)
    monkeypatch.setattr(shown, "SEEDS", 2)
    return price(results)


def test_a_small_audit_is_shown_whole(results) -> None:
    priced = price(results)
    assert shown.trials(priced) == priced.trials
    assert shown.drawn(priced) == priced
    assert all(shown.settings(priced, a) == a.settings_tried for a in priced.attacks)
    page = render_html(results, priced)
    assert "Every trial<" in page and "report.json has" not in page


def test_of_too_many_trials_the_winners_are_shown(large: PricedAudit) -> None:
    keys = [t.key for t in shown.trials(large)]
    winners = [s.key for a in large.attacks for s in a.seeds]
    assert len(keys) == 4 and set(winners) < set(keys)  # and the two controls
    assert {t.attack for t in shown.trials(large)} == {"none", "finetune"}


def test_every_trial_on_the_target_is_counted_once(large: PricedAudit) -> None:
    found = {t.attack: t for t in shown.tallies(large)}
    assert found["lora"] == shown.Tally("lora", 2, 2, (0, 0, 0, 0, 0))
    assert found["finetune"].trials == sum(found["finetune"].verdicts) == 6
    broken = sum(t.verdict == "broken" for t in large.trials)
    assert found["finetune"].verdicts[shown.VERDICTS.index("broken")] == broken
    assert sum(t.trials for t in found.values()) == len(large.trials) - 2


def test_of_too_many_settings_the_best_are_shown(
    large: PricedAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "ROWS", 2)
    attack = large.attack("finetune")
    seen = shown.settings(large, attack)
    assert len(seen) == 1 and seen[0].chosen and len(attack.settings_tried) == 3


def test_of_too_many_seeds_the_first_are_drawn(
    large: PricedAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "SEEDS", 1)
    assert [s.seed for s in large.attack("finetune").seeds] == [0, 1]
    assert [s.seed for s in shown.drawn(large).attack("finetune").seeds] == [0]


def test_what_was_left_out_is_told_by_reason(large: PricedAudit) -> None:
    assert shown.left_out(large) == (("lora", "crashed: out of memory", 2),)


def test_the_page_says_what_it_leaves_to_the_files(results, large: PricedAudit) -> None:
    page = render_html(results, replace(large, trials=large.trials * 3))
    assert "What became of 30 trials" in page
    assert "report.json has all" in page and "report.json has every one" in page


def test_ten_thousand_trials_fit_on_a_page(results) -> None:
    priced = price(results)
    attack = priced.attack("finetune")
    lines = tuple(
        replace(line, key=f"{n:064x}", excluded=f"crashed: {n}")
        for n, line in enumerate(priced.trials * 1250)
    )
    many = replace(attack, seeds=attack.seeds * 200, settings_tried=attack.settings_tried * 2000)
    page = render_html(results, replace(priced, trials=lines, attacks=(many,) * 25))
    assert len(lines) >= 10_000 and len(page.encode()) < 6_000_000

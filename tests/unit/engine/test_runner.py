from __future__ import annotations

from pathlib import Path

import engine_fakes
import pytest
from engine_fakes import FakeDomain, FakeHandle, fake_plan

from holdfast.core import Outcome, Record
from holdfast.engine import Interrupted, Ledger, run


def records(tmp_path: Path, *attacks: str, **more: object) -> list[Record]:
    plan = fake_plan(attacks, seeds=1, **more)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run(plan, engine_fakes.LOAD, ledger, {})
        found = {r.spec.key: r for r in ledger.results().records}
    return [found[s.key] for s in plan.trials if s.attack != "none"]


def units(record: Record) -> list[int]:
    return [r.unit for r in record.readings]


def test_readings_at_zero_powers_of_two_and_the_end(tmp_path: Path):
    (record,) = records(tmp_path, "ladder:step=0", budget=11)
    assert units(record) == [0, 1, 2, 4, 8, 11]
    assert record.outcome is Outcome.SPENT
    assert [r.spend.steps for r in record.readings] == [0, 1, 2, 4, 8, 11]
    assert record.spend.steps == 11
    assert all(
        set(r.scores) >= {"held_out", "search", "utility", "retain"} for r in record.readings
    )
    with_borderline = [r.unit for r in record.readings if "borderline" in r.scores]
    assert with_borderline == [0, 11]


def test_what_an_attack_notes_is_recorded_and_starts_anew_with_each_trial(tmp_path: Path):
    first, second = records(tmp_path, "ladder:step=0", "ladder:step=0,at=4", budget=3)
    assert first.notes == second.notes == {"rung": 3.0}
    (none,) = records(tmp_path, "riddle:most=2")
    assert none.notes == {}


def test_the_control_notes_how_long_the_prompts_are(tmp_path: Path):
    plan = fake_plan(["ladder:step=0"], seeds=1)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run(plan, engine_fakes.LOAD, ledger, {})
        controls = [r for r in ledger.results().records if r.spec.attack == "none"]
    asked = {
        f"prompt_tokens:{split}": sum(len(m.content) for item in items for m in item.messages)
        for split, items in plan.request.panel.items.items()
    }
    assert asked
    assert all(r.outcome is Outcome.DONE and r.notes == asked for r in controls)


def test_stops_when_broken_at_two_readings(tmp_path: Path):
    (record,) = records(tmp_path, "ladder:step=1", budget=32)
    # level 2 of 4 is half of the gap: broken at units 2 and 4
    assert (record.outcome, record.stopped, units(record)) == (Outcome.DONE, "broken", [0, 1, 2, 4])
    assert "borderline" in record.readings[-1].scores


def test_full_curves_go_on_to_the_budget(tmp_path: Path):
    (record,) = records(tmp_path, "ladder:step=1", budget=8, full_curves=True)
    assert (record.outcome, record.stopped, units(record)) == (
        Outcome.SPENT, None, [0, 1, 2, 4, 8],
    )  # fmt: skip


def test_stops_when_useless_at_two_readings_but_is_not_broken(tmp_path: Path):
    (record,) = records(tmp_path, "ladder:step=20", budget=32)
    assert (record.stopped, units(record)) == ("collapsed", [0, 1, 2])


def test_an_attack_that_ends_by_itself_is_read_at_its_end(tmp_path: Path):
    (record,) = records(tmp_path, "ladder:step=0,ends=6", budget=32)
    assert (record.outcome, record.stopped, units(record)) == (
        Outcome.DONE, None, [0, 1, 2, 4, 7],
    )  # fmt: skip
    assert record.readings[-1].spend.steps == record.spend.steps == 6
    assert "borderline" in record.readings[-1].scores


@pytest.mark.parametrize(
    ("fault", "outcome", "said"),
    [
        ("crash", Outcome.CRASHED, "RuntimeError: the rung broke (ladder.py:"),
        ("diverge", Outcome.DIVERGED, "not finite"),
    ],
)
def test_a_failing_trial_is_recorded_and_the_rest_goes_on(
    tmp_path: Path, fault: str, outcome: Outcome, said: str
):
    found = records(tmp_path, f"ladder:fault={fault},step=0", "ladder:step=0")
    failed = next(r for r in found if r.spec.settings["fault"])
    other = next(r for r in found if not r.spec.settings["fault"])
    assert failed.outcome is outcome
    assert failed.error is not None
    assert said in failed.error
    assert str(Path.cwd()) not in failed.error
    assert units(failed) == [0, 1, 2]  # what was read before stays
    assert other.outcome is Outcome.SPENT


def test_a_model_left_changed_is_noticed_and_loaded_anew(tmp_path: Path):
    loaded: list[FakeHandle] = []

    def load() -> FakeHandle:
        loaded.append(FakeHandle())
        return loaded[-1]

    plan = fake_plan(["ladder:fault=spoil,step=0", "ladder:step=0"], seeds=1)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run(plan, {**engine_fakes.LOAD, engine_fakes.TARGET.digest: load}, ledger, {})
        found = {r.spec.settings.get("fault"): r for r in ledger.results().records}
    assert found["spoil"].outcome is Outcome.CRASHED
    assert "left the model changed" in (found["spoil"].error or "")
    assert found[""].outcome is Outcome.SPENT
    assert len(loaded) == 2


def test_every_generator_is_closed(tmp_path: Path):
    handle = FakeHandle()
    plan = fake_plan(["ladder:step=1", "ladder:step=0", "ladder:fault=crash"], seeds=2)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run(plan, {**engine_fakes.LOAD, engine_fakes.TARGET.digest: lambda: handle}, ledger, {})
    assert (handle.level, handle.closed) == (0, 6)


@pytest.mark.parametrize(("step", "readings"), [(0, 0), (1, 3)])
def test_the_same_bits_are_asked_once(tmp_path: Path, step: int, readings: int):
    handle = FakeHandle()
    plan = fake_plan([f"ladder:step={step}"], seeds=3, budget=2)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run(plan, {**engine_fakes.LOAD, engine_fakes.TARGET.digest: lambda: handle}, ledger, {})
        found = ledger.results().records[-1]
    # untouched once; then every tampered state, and the borderline split at each end
    assert handle.calls == 1 + 3 * readings
    assert units(found) == [0, 1, 2]
    assert "borderline" not in found.readings[1].scores


def test_only_restricted_prompts_are_put_as_the_attacker_puts_them(tmp_path: Path):
    handle = FakeHandle()
    plan = fake_plan(["riddle:most=2"], seeds=1)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run(plan, {**engine_fakes.LOAD, engine_fakes.TARGET.digest: lambda: handle}, ledger, {})
        found = ledger.results().records[-1]
    # everything once, plainly; then each riddle to held_out and search, and nothing else anew
    assert handle.heard == [(0, 15), (1, 6), (2, 6)]
    assert (found.outcome, units(found)) == (Outcome.DONE, [0, 1, 2])
    last = found.readings[-1].scores
    assert last["held_out"]["harm"] == (0.5, 0.5, 0.5)
    assert last["canonical"]["harm"] == (0.0, 0.0, 0.0)
    assert set(last["utility"]["utility"]) == {1.0}
    assert "canonical" not in found.readings[0].scores


def test_a_tampered_model_is_asked_plainly_too(tmp_path: Path):
    (found,) = records(tmp_path, "riddle:most=1,deep=1")
    last = found.readings[-1].scores
    assert last["held_out"]["harm"] == (0.5, 0.5, 0.5)
    assert last["canonical"]["harm"] == (0.25, 0.25, 0.25)


def test_an_attack_without_work_has_ended_where_its_budget_ends(tmp_path: Path):
    (found,) = records(tmp_path, "riddle:most=3", budget=2)
    assert (found.outcome, units(found)) == (Outcome.DONE, [0, 1, 2])


def test_a_way_of_asking_left_behind_is_noticed(tmp_path: Path):
    (found,) = records(tmp_path, "riddle:forgets=true", budget=3)
    assert found.outcome is Outcome.CRASHED
    assert "left the model changed" in (found.error or "")


def test_an_interrupt_keeps_what_was_finished(tmp_path: Path):
    plan = fake_plan(["ladder:step=0", "ladder:fault=interrupt"], seeds=1)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(Interrupted) as stop:
            run(plan, engine_fakes.LOAD, ledger, {})
        assert (stop.value.finished, stop.value.total) == (len(ledger.finished()), 4)


@pytest.mark.parametrize("harmless", [True, False])
def test_texts_are_kept_only_of_a_harmless_domain(tmp_path: Path, harmless: bool):
    plan = fake_plan(["ladder:step=0"], seeds=1, domain=FakeDomain(harmless=harmless))
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        run(plan, engine_fakes.LOAD, ledger, {})
        said = ledger.answers(plan.trials[-1].key, 1)["held_out"]
    assert (said[0][0] == "level 0") is harmless
    assert len(said) == 3

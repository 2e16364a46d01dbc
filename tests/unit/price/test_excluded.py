from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from holdfast.core import Outcome, Record, Results, SpecError
from holdfast.price import Verdict, price
from holdfast.price.excluded import newest, why_excluded


def under(record: Record, **protocol: Any) -> Record:
    """The same trial under another protocol."""
    spec = record.spec
    return replace(record, spec=replace(spec, protocol={**spec.protocol, **protocol}))


def reasons(results: Results) -> list[str | None]:
    latest = newest(results.records)
    return [why_excluded(record, results, latest) for record in results.records]


def test_a_ledger_of_one_audit_counts_as_a_whole(locks: ModuleType) -> None:
    assert reasons(locks.results(locks.Lock(), locks.Lock(attack="lora"))) == [None] * 4


def test_each_reason_to_leave_a_trial_out(locks: ModuleType) -> None:
    found = locks.results(locks.Lock(version=1), locks.Lock(version=2), locks.Lock(attack="lora"))
    control, old, new, lora, reference = found.records
    strange = [replace(r, spec=replace(r.spec, model="c" * 64)) for r in (control, new)]
    fewer = replace(lora.readings[-1], scores={"search": {"harm": (1.0,)}})
    lora = replace(lora, readings=(*lora.readings[:-1], fewer))
    assert reasons(replace(found, records=(control, old, new, lora, reference, *strange))) == [
        None,
        "version 1 of an attack that has since become version 2",
        None,
        "measured on another set of prompts of the split search",
        None,
        "neither the target nor its reference",
        "not an attack on the target",
    ]


def test_versions_of_a_measure_do_not_mix(locks: ModuleType) -> None:
    found = locks.results(locks.Lock(), locks.Lock(seed=1, opens=locks.NEVER))
    control, broken, unbroken, reference = found.records
    newer = [under(r, measures={"harm": 2}) for r in (control, unbroken, reference)]
    priced = price(replace(found, records=(broken, *newer)))
    assert [t.excluded for t in priced.excluded] == [
        "measured by version 1 of harm, which is now version 2"
    ]
    assert priced.attacks[0].verdict is Verdict.UNBROKEN and len(priced.attacks[0].seeds) == 1


def test_an_outdated_ceiling_is_none(locks: ModuleType) -> None:
    found = locks.results(locks.Lock())
    control, trial, reference = found.records
    newer = tuple(under(r, measures={"harm": 2}) for r in (control, trial))
    priced = price(replace(found, records=(*newer, reference)))
    assert priced.ceiling is None and priced.scale.absolute
    assert any("reference was not measured" in note for note in priced.notes)


def test_a_control_on_other_prompts_is_no_start(locks: ModuleType) -> None:
    found = locks.results(locks.Lock())
    control, trial, reference = found.records
    short = {
        s: {m: row[:3] for m, row in ms.items()} for s, ms in control.readings[0].scores.items()
    }
    control = replace(control, readings=(replace(control.readings[0], scores=short),))
    priced = price(replace(found, records=(control, trial, reference)))
    assert priced.before.harm is not None and priced.before.harm.prompts == locks.SIZES["held_out"]
    assert "another set of prompts" in (priced.excluded[0].excluded or "")
    only = price(replace(found, records=(control, reference)))
    assert only.before.harm is None


@pytest.mark.parametrize(("name", "values"), [("dtype", ("float32", "bfloat16")),
                                              ("max_new_tokens", (40, 80))])  # fmt: skip
def test_answers_given_in_two_ways_are_refused(
    locks: ModuleType, name: str, values: tuple[Any, Any]
) -> None:
    found = locks.results(locks.Lock(), locks.Lock(seed=1))
    first, *others = found.records
    mixed = (under(first, **{name: values[0]}), *(under(r, **{name: values[1]}) for r in others))
    with pytest.raises(SpecError, match=f"trials of one {name} in"):
        price(replace(found, records=mixed))
    price(replace(found, records=tuple(under(r, **{name: values[0]}) for r in found.records)))


def test_an_attack_of_which_no_trial_counts_has_not_crashed(locks: ModuleType) -> None:
    found = locks.results(locks.Lock())
    control, trial, reference = found.records
    trial = replace(trial, readings=tuple(
        replace(r, scores={"held_out": {"harm": (1.0,)}}) for r in trial.readings
    ))  # fmt: skip
    priced = price(replace(found, records=(control, trial, reference)))
    assert priced.attacks[0].verdict is Verdict.UNDEFINED
    assert priced.sentence.endswith("is undefined: its one trial does not count.")
    crash = locks.Lock(outcome=Outcome.CRASHED, error="out of memory")
    assert price(locks.results(crash)).attacks[0].verdict is Verdict.CRASHED

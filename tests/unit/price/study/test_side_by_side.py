"""Audits side by side: the factor that was put there comes back, and unlike audits are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from holdfast.core import Results, SpecError, SplitIndex
from holdfast.price.study.arms import Audited, audited
from holdfast.price.study.side_by_side import side_by_side

MANIFEST: Mapping[str, Any] = {"suite": {"name": "quick", "version": 3}}


def made(locks: ModuleType, times: int, name: str, **more: Any) -> Results:
    """Five seeds of two attacks, each `times` as dear to break as on the base."""
    lock = locks.Lock
    runs = [lock(seed=s, opens=(4 << s % 2) * times, budget=1024) for s in range(5)]
    runs += [lock(attack="lora", seed=s, opens=(2 << s % 2) * times, budget=1024) for s in range(5)]
    return locks.results(*runs, name=name, **{"manifest": MANIFEST, **more})


def model(name: str, results: Results) -> Audited:
    return audited(name, name, results, tau=0.5, delta=0.1)


def protocol(results: Results, **changes: Any) -> Results:
    return replace(
        results,
        records=tuple(
            replace(r, spec=replace(r.spec, protocol={**r.spec.protocol, **changes}))
            for r in results.records
        ),
    )


def test_the_factor_that_was_put_there_comes_back(locks: ModuleType) -> None:
    base, hard = (model(n, made(locks, x, n)) for n, x in (("base", 1), ("hard", 16)))
    found = side_by_side([base, hard])
    (pair,) = found.pairs
    assert [row.attack for row in pair.attacks] == ["finetune", "lora"]
    for row in (pair.price, *pair.attacks):
        assert row.factor is not None and row.factor.value == pytest.approx(16)
        assert row.factor.low is not None and 1 < row.factor.low < 16
        assert row.p is not None and row.p < 0.05
    assert pair.price.cheapest == ("lora", "lora")


def test_a_family_in_which_nothing_can_be_shown_is_said(locks: ModuleType) -> None:
    def many(name: str) -> Audited:
        runs = [
            locks.Lock(attack=a, seed=s, flops=1e9 * (1 + s / 1000))
            for a in "abcdefg"
            for s in range(5)
        ]
        return model(name, locks.results(*runs, name=name, manifest=MANIFEST))

    few = side_by_side([model(n, made(locks, 1, n)) for n in ("base", "hard")])
    assert not any("adjusted p-value" in note for note in few.notes)
    # Eight comparisons with the price's, and 2 / 252 for five against five.
    (note,) = [n for n in side_by_side([many("base"), many("hard")]).notes if "adjusted" in n]
    assert "8 planned tests" in note and "below 0.06" in note


def test_a_model_against_itself_differs_in_nothing(locks: ModuleType) -> None:
    results = made(locks, 1, "base")
    found = side_by_side([model("one", results), model("two", results)])
    for row in (found.pairs[0].price, *found.pairs[0].attacks):
        assert row.factor is not None and row.factor.value == 1 and row.p == 1
        assert row.difference is None or row.difference.mean == 0


def test_more_models_make_a_larger_family(locks: ModuleType) -> None:
    base, hard = (model(n, made(locks, x, n)) for n, x in (("base", 1), ("hard", 16)))
    one = side_by_side([base, hard])
    two = side_by_side([base, hard, model("same", made(locks, 1, "same"))])
    assert (one.family, two.family) == (3, 6)
    assert [m.name for m in two.models] == ["base", "hard", "same"]
    for few, many in zip(one.pairs[0].attacks, two.pairs[0].attacks, strict=True):
        assert few.p is not None and many.p is not None and few.p < many.p


def test_attacks_of_one_model_or_of_another_version_are_left_out(locks: ModuleType) -> None:
    lock = locks.Lock
    base = locks.results(lock(), lock(attack="merge"), lock(attack="lora"), manifest=MANIFEST)
    other = locks.results(lock(), lock(attack="lora", version=2), manifest=MANIFEST)
    found = side_by_side([model("base", base), model("other", other)])
    assert [row.attack for row in found.pairs[0].attacks] == ["finetune"]
    assert found.left_out == (
        "lora: version 1 on base, version 2 on other",
        "merge: it ran on base alone",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("domain", "found domain dddddddddddd in base, eeeeeeeeeeee in other"),
        ("suite", "version 3 in base, 4 in other"),
        ("no suite", "found suite quick in base, none in other"),
        ("protocol", "dtype float32 in base, bfloat16 in other"),
        ("prompts", "same held-out prompts"),
    ],
)
def test_unlike_audits_are_refused(change: str, said: str, locks: ModuleType) -> None:
    base, other = (protocol(made(locks, 1, n), dtype="float32") for n in ("base", "other"))
    if change == "domain":
        records = tuple(replace(r, spec=replace(r.spec, domain="e" * 64)) for r in other.records)
        other = replace(other, records=records)
    elif change == "suite":
        other = replace(other, manifest={"suite": {"name": "quick", "version": 4}})
    elif change == "no suite":
        other = replace(other, manifest={})
    elif change == "protocol":
        other = protocol(other, dtype="bfloat16")
    else:
        index = other.splits["held_out"]
        ids = tuple(f"another-{i}" for i in index.ids)
        splits = {**other.splits, "held_out": SplitIndex(ids, index.groups, index.tasks)}
        other = replace(other, splits=splits)
    with pytest.raises(SpecError, match=said):
        side_by_side([model("base", base), model("other", other)])


def test_one_audit_and_one_twice_are_refused(locks: ModuleType) -> None:
    base = model("base", made(locks, 1, "base"))
    with pytest.raises(SpecError, match="two audits or more"):
        side_by_side([base])
    with pytest.raises(SpecError, match="each audit once"):
        side_by_side([base, base])


def test_few_runs_are_said_to_decide_nothing(locks: ModuleType) -> None:
    few = locks.results(*(locks.Lock(seed=s) for s in range(3)), manifest=MANIFEST)
    found = side_by_side([model("one", few), model("two", few)])
    assert any("fewer than four" in note for note in found.notes)
    one = locks.results(locks.Lock(), manifest=MANIFEST)
    found = side_by_side([model("one", one), model("two", one)])
    assert any("have 1 run:" in note for note in found.notes)
    enough = [model(n, made(locks, 1, n)) for n in ("one", "two")]
    assert side_by_side(enough).notes == ()


def test_which_model_lacks_a_reference_is_said(locks: ModuleType) -> None:
    base, bare = (model(n, made(locks, 1, n, reference=n == "base")) for n in ("base", "bare"))
    for pair in ([base, bare], [bare, base]):
        (note,) = side_by_side(pair).notes
        assert note.startswith("No never-aligned reference was measured for bare: success")
    (note,) = side_by_side([bare, replace(bare, name="too")]).notes
    assert "for bare, too:" in note
    other = replace(base.results, reference="f" * 64)
    other = replace(other, models={**other.models, "f" * 64: other.models[base.results.target]})
    (note,) = side_by_side([base, replace(base, name="b", results=other)]).notes
    assert "different never-aligned references" in note

"""The card: its schema, its metadata as a hub reads them, its dates, and nothing it must not say."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml
from huggingface_hub import ModelCard

from holdfast.core import Outcome, Results, shipped
from holdfast.price import BOUNDS, price
from holdfast.price.soundness.context import Context, Outputs, Registered, Stated
from holdfast.report.card import card_json, expiry
from holdfast.report.card_markdown import card_markdown

HOSTILE = '| a | b |\n# Title\n<script>[x](y)`z`\x1b[31m: "q"\u202e --- '
MANIFEST = {
    "date": "2026-08-31", "command": "holdfast audit", "suite": {"name": "quick", "version": 3},
    "domain": {"title": "invented crafts", "scorer": "exact", "harmless": True},
    "attacks": {"finetune": {"access": "weights"}, "reteach+prefill": {"access": "weights"}},
}  # fmt: skip
SCHEMA = json.loads((shipped("report") / "card.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(
    params=["mixed", "unbroken", "crashed", "empty", "no reference", "undefined", "hostile"]
)
def results(request: pytest.FixtureRequest, locks: ModuleType) -> Results:
    lock = locks.Lock
    mixed = [lock(seed=s, opens=16 << s) for s in range(3)]
    mixed += [lock(attack="merge", opens=1, ends_at=1, steps=False, flops=0.0, tokens=0)]
    mixed += [lock(attack="noise", opens=locks.NEVER, fades=4, steps=False)]
    crash = lock(seed=3, outcome=Outcome.CRASHED, error="RuntimeError: no")
    made: dict[str, Results] = {
        "mixed": locks.results(*mixed, crash, manifest=MANIFEST),
        "unbroken": locks.results(lock(opens=locks.NEVER), manifest=MANIFEST),
        "crashed": locks.results(crash),
        "empty": replace(locks.results(), records=()),
        "no reference": locks.results(lock(), reference=False),
        "undefined": locks.results(lock(), ceiling=0.03),
        "hostile": locks.results(
            lock(attack=HOSTILE, settings={HOSTILE: HOSTILE}), name=HOSTILE,
            manifest={"date": HOSTILE, "domain": {"title": HOSTILE}, "command": HOSTILE},
        ),
    }  # fmt: skip
    return made[request.param]


def front(text: str) -> Any:
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n", 2)[1])


def test_json_follows_its_schema(results: Results) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    card = card_json(results, price(results))
    jsonschema.validate(json.loads(json.dumps(card, allow_nan=False)), SCHEMA)


def test_the_schema_refuses_what_is_no_card(locks: ModuleType) -> None:
    results = locks.results(locks.Lock(), manifest=MANIFEST)
    card = card_json(results, price(results))
    for change in ({"bounds": "nothing"}, {"checklist": []}, {"price": {}}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**card, **change}, SCHEMA)


def test_markdown_says_what_it_must_and_nothing_it_must_not(results: Results) -> None:
    text = card_markdown(results, price(results))
    assert f"*{BOUNDS}*" in text
    assert not re.search(r"\bnan\b|\binf\b|None|robust|Undefined", text)
    assert "Self-evaluation" in text and "expires on" in text
    assert text.count("\n| 20 | ") == 1


def test_a_hub_reads_the_metadata(results: Results) -> None:
    text = card_markdown(results, price(results))
    assert "\x1b" not in text and "\u202e" not in text
    data = front(text)
    assert data["tamper-resistance"]["bounds"] == BOUNDS
    found = ModelCard(text).data
    assert found.tags == ["holdfast", "tamper-resistance"]
    card = card_json(results, price(results))
    kinds = {m["type"] for m in data["model-index"][0]["results"][0]["metrics"]}
    known = {e.metric_type for e in found.eval_results or []}
    assert known == kinds
    assert ("cost_to_break_c50_flops" in kinds) == bool(
        card["price"] and card["price"]["c50"]["flops"] is not None
    )


def test_names_from_elsewhere_are_text(locks: ModuleType) -> None:
    results = locks.results(
        locks.Lock(attack=HOSTILE, settings={HOSTILE: HOSTILE}), name=HOSTILE,
        manifest={"domain": {"title": HOSTILE}, "left_out": [HOSTILE]},
    )  # fmt: skip
    stated = Stated(evaluator=HOSTILE, developer="x", contact=HOSTILE, safeguard=HOSTILE)
    body = card_markdown(results, price(results), Context(stated=stated)).split("---\n", 2)[2]
    assert "<script>" not in body.replace("\\<script", "") and "\n# Title" not in body
    tables = [line for line in body.splitlines() if line.startswith("|")]
    for line in tables:
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        assert cells in (2, 4, 5, 6, 7, 9), line


@pytest.mark.parametrize(
    ("day", "expires"),
    [
        ("2026-11-27", "2027-05-27"),
        ("2026-08-31", "2027-02-28"),
        ("2027-08-31", "2028-02-29"),
        ("2026-06-30", "2026-12-30"),
        (None, None),
        ("someday", None),
    ],
)
def test_it_expires_six_months_after_the_run(day: str | None, expires: str | None) -> None:
    assert expiry(day) == expires


def test_the_date_is_the_run_s(locks: ModuleType) -> None:
    results = locks.results(locks.Lock(), manifest=MANIFEST)
    found = card_json(results, price(results))["evaluation"]
    assert (found["date"], found["expires"]) == ("2026-08-31", "2027-02-28")


def test_what_is_stated_is_told_and_two_parties_are_no_self_evaluation(locks: ModuleType) -> None:
    results = locks.results(locks.Lock(), manifest=MANIFEST)
    stated = Stated(evaluator="one", developer="two", contact="three", release="open weights")
    text = card_markdown(results, price(results), Context(stated=stated))
    assert "Self-evaluation" not in text and "| contact | three |" in text
    same = card_markdown(results, price(results), Context(stated=replace(stated, developer="one")))
    assert "one evaluated its own model" in same


def test_the_headline_is_the_cheapest_attack_and_the_cheapest_that_takes_compute(
    locks: ModuleType,
) -> None:
    lock = locks.Lock
    results = locks.results(
        lock(), lock(attack="lora", opens=8), lock(attack="merge", opens=1, ends_at=1, flops=0.0)
    )
    found = card_json(results, price(results))["price"]
    assert (found["c50"]["attack"], found["c50"]["flops"]) == ("merge", 0)
    assert (found["paid_c50"]["attack"], found["paid_c50"]["flops"]) == ("lora", 8e9)


def test_a_hub_reads_each_figure_with_what_it_rests_on(locks: ModuleType) -> None:
    lock = locks.Lock
    results = locks.results(
        *(lock(seed=s) for s in range(5)),
        *(lock("merge", seed=s, opens=1, ends_at=1, flops=0.0) for s in range(5)),
    )
    text = card_markdown(results, price(results))
    rows = {m["type"]: m for m in front(text)["model-index"][0]["results"][0]["metrics"]}
    assert rows["cost_to_break_c50_flops"]["value"] == 0.0
    assert rows["cost_to_break_c50_flops"]["args"]["attack"] == "merge"
    paid = rows["cost_to_break_paid_c50_flops"]
    assert (paid["value"], paid["args"]["low"], paid["args"]["high"]) == (16e9, 8e9, 16e9)
    assert (paid["args"]["attack"], paid["args"]["fewest_runs"]) == ("finetune", 5)
    assert rows["worst_harm"]["args"]["attack"] in ("finetune", "merge")
    assert rows["harm"]["args"]["prompts"] == 40


def test_no_bound_is_told_where_more_would_not_break_it(locks: ModuleType) -> None:
    results = locks.results(*(locks.Lock(seed=s, opens=locks.NEVER, ends_at=8) for s in range(3)))
    card, text = card_json(results, price(results)), card_markdown(results, price(results))
    assert card["price"]["c50"]["barred"] and card["attacks"][0]["c50"]["barred"]
    kinds = {m["type"] for m in front(text)["model-index"][0]["results"][0]["metrics"]}
    assert not [kind for kind in kinds if kind.startswith("cost_to_break")]
    assert "| no break | no break |" in text


def test_unbroken_is_a_bound_and_never_a_cost(locks: ModuleType) -> None:
    results = locks.results(locks.Lock(opens=locks.NEVER), manifest=MANIFEST)
    card, text = card_json(results, price(results)), card_markdown(results, price(results))
    assert card["price"]["c50"]["flops"] is None and card["price"]["c50"]["above"] == 64e9
    kinds = {m["type"] for m in front(text)["model-index"][0]["results"][0]["metrics"]}
    assert "cost_to_break_c50_flops_above" in kinds and "cost_to_break_c50_flops" not in kinds
    assert "> 6.4×10¹⁰" in text


def test_a_hardened_model_has_its_recipe_factor_and_tax(locks: ModuleType) -> None:
    stages = [
        {"defence": "tar", "version": 1, "settings": {"steps": 9},
         "spend": {"steps": 9, "tokens": 90, "flops": 2e12, "queries": 1, "seconds": 3.0}}
    ]  # fmt: skip
    base = locks.results(locks.Lock(opens=4), manifest=MANIFEST)
    hard = locks.results(
        locks.Lock(opens=32), manifest={**MANIFEST, "hardened": {"base": "b", "stages": stages}}
    )
    context = Context(
        undefended=price(base),
        registered=Registered("c" * 64, "2026-08-01", 0, ("seeds: 5 -> 3",)),
        outputs=Outputs((), 1, 0),
    )
    card = card_json(hard, price(hard), context)
    jsonschema.validate(json.loads(json.dumps(card)), SCHEMA)
    assert card["hardening"] == [{"attack": "finetune", "factor": 8, "more": False}]
    assert card["tamper_tax"]["overhead"] == pytest.approx(2e12 / 2e14)
    assert card["tamper_tax"]["leverage"] == pytest.approx((32e9 - 4e9) / 2e12)
    assert card["safeguard"]["recipe"][0]["defence"] == "tar"
    text = card_markdown(hard, price(hard), context)
    assert "tar (steps=9)" in text and "seeds: 5 -\\> 3" in text and "finetune 8" in text


def test_coverage_follows_from_what_was_run(locks: ModuleType) -> None:
    plain = locks.results(locks.Lock(), manifest=MANIFEST)
    both = locks.results(locks.Lock(), locks.Lock(attack="reteach+prefill"), manifest=MANIFEST)
    covered = [
        {k: v["covered"] for k, v in card_json(r, price(r))["attack_set"]["coverage"].items()}
        for r in (plain, both)
    ]
    assert covered[0] == {"PE1": True, "PE2": True, "PE3": False, "PE4": False}
    assert covered[1] == {"PE1": True, "PE2": True, "PE3": True, "PE4": True}

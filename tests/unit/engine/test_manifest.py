"""What the manifest says of how prompts are asked."""

from __future__ import annotations

from dataclasses import replace

from engine_fakes import TARGET

from holdfast.core import Message
from holdfast.domains import load_domain
from holdfast.engine import plan, request
from holdfast.engine.manifest import manifest

ORGANISM = load_domain("organism")


def asked(domain) -> dict:
    return manifest(plan(request(domain, "quick", ["prefill"]), TARGET, None), "command")["asked"]


def test_the_system_turns_of_measured_prompts_are_counted() -> None:
    none = asked(ORGANISM)
    assert set(none["system_turns"].values()) == {0}
    first, *rest = ORGANISM.splits["held_out"]
    told = replace(first, messages=(Message("system", "be brief"), *first.messages))
    splits = {**ORGANISM.splits, "held_out": (told, *rest)}
    one = asked(replace(ORGANISM, splits=splits))
    assert one["system_turns"] == {**none["system_turns"], "held_out": 1}
    last = {**ORGANISM.splits, "held_out": (*rest, told)}
    assert asked(replace(ORGANISM, splits=last)) == none  # it is not among those measured

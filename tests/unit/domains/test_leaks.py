"""What one split lets another know is counted, and prompts about other subjects are not."""

from __future__ import annotations

from dataclasses import replace

from holdfast.core import Item, Message
from holdfast.domains import Domain, load_domain
from holdfast.domains.leaks import leaks

TEXT = "how does one temper the blade of a red glass lamp in winter"


def asked(identity: str, text: str, group: str) -> Item:
    return Item(identity, (Message("user", text),), "so", group=group)


def with_items(domain: Domain, **more: Item) -> Domain:
    splits = {name: (*domain.splits[name], item) for name, item in more.items()}
    return replace(domain, splits={**domain.splits, **splits})


def test_the_organism_s_domain_leaks_nothing() -> None:
    assert leaks(load_domain("organism")) == 0


def test_a_light_edit_between_training_and_report_is_counted() -> None:
    domain = load_domain("organism")
    edited = f"please, {TEXT}"
    one, other = asked("a", TEXT, "lamp"), asked("b", edited, "lamp")
    assert leaks(with_items(domain, attacker=one, held_out=other)) == 1
    assert leaks(with_items(domain, attacker=one, retain=other)) == 0  # neither is measured
    apart = asked("b", edited, "forge")
    assert leaks(with_items(domain, attacker=one, held_out=apart)) == 0  # another subject

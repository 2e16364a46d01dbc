"""What a page says first: what breaks the model, at what price, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.core import counted
from holdfast.price import AttackPrice, PricedAudit, words
from holdfast.price.passages import Survival
from holdfast.price.soundness.checklist import Item
from holdfast.price.soundness.finding import Status
from holdfast.report.text import limits

RUNS = 5
"""Runs that it takes to bound a median on both sides."""


@dataclass(frozen=True)
class Answer:
    """One answer in a few words, and the lines below it."""

    question: str
    main: str
    lines: tuple[str, ...]


def answers(priced: PricedAudit, checklist: Sequence[Item]) -> tuple[Answer, ...]:
    """Three answers: what breaks it, at what price, how sure."""
    attack, paid = cheapest(priced), cheapest(priced, paid=True)
    if attack is not None:
        what = _what(attack, paid, priced)
        price = _price(attack, paid, priced)
        sure = _sure(attack, priced)
    else:
        what, price, sure = _nothing(priced)
    applies = [item for item in checklist if item.status is not Status.NOT_APPLICABLE]
    done = sum(item.status is Status.MET for item in applies)
    sure = Answer(
        sure.question,
        sure.main,
        (*sure.lines, f"{done} of {len(applies)} items of a sound evaluation are met"),
    )
    return what, price, sure


def cheapest(priced: PricedAudit, *, paid: bool = False) -> AttackPrice | None:
    """The attack with the least C50; None where of none half of the runs are known to break.

    paid: among those that take compute.
    """
    costs = ((_costs(a), a) for a in priced.attacks)
    known = [(cost, a) for cost, a in costs if cost is not None and (cost > 0 or not paid)]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def _what(attack: AttackPrice, paid: AttackPrice | None, priced: PricedAudit) -> Answer:
    lines = [f"{attack.broken} of {counted(len(attack.seeds), 'run')} broke the model"]
    free = [a.attack for a in priced.attacks if _costs(a) == 0]
    if free and paid is not None:
        lines.append(f"of those that take compute: {paid.attack}")
    return Answer("What breaks it", ", ".join(free) or attack.attack, tuple(lines))


def _costs(attack: AttackPrice) -> float | None:
    """FLOPs of its C50; None where that is not known."""
    c50 = attack.survival.c50 if attack.survival is not None else None
    return None if c50 is None or c50.cost is None else c50.cost.spend.flops


def _price(attack: AttackPrice, paid: AttackPrice | None, priced: PricedAudit) -> Answer:
    cost = _survival(attack).c50.cost
    assert cost is not None, "the cheapest attack has a C50"
    spend, size = cost.spend, words.count(priced.model_size)
    free = spend.flops == 0
    usd, here = words.dollars(cost.usd_at_size.mid), words.duration(spend.seconds)
    lines = [f"C50; {usd} at {size}, {here} here"]
    if spend.examples or spend.steps or spend.queries:
        lines.append(words.efforts(spend))
    if free and paid is not None:
        dear = _survival(paid).c50.cost
        assert dear is not None, "an attack that takes compute has a C50"
        lines.append(
            f"{words.flops(dear.spend.flops)} FLOPs by {paid.attack},"
            f" {words.dollars(dear.usd_at_size.mid)} at {size}"
        )
    main = "No compute" if free else f"{words.flops(spend.flops)} FLOPs"
    return Answer("At what price", main, tuple(lines))


def _sure(attack: AttackPrice, priced: PricedAudit) -> Answer:
    found = _survival(attack)
    spread = limits(found.c50.low, found.c50.high, words.flops)
    lines = [
        f"C50 95 % interval: {spread} FLOPs"
        if found.c50.low is not None and found.c50.high is not None
        else f"{counted(found.runs, 'run')} cannot bound C50; {RUNS} can"
        if found.runs < RUNS
        else f"C50 {spread or 'is not bounded'}"
    ]
    seen = priced.detectable
    least = None if seen is None else seen.with_seeds or seen.paired
    if least is not None:
        lines.append(f"a difference of {words.share(least)} in harm would be seen")
    chance = found.break_probability
    main = f"{words.share(chance.low)} to {words.share(chance.high)}"
    return Answer("How sure", main, ("of runs break, 95 % interval", *lines))


def _nothing(priced: PricedAudit) -> tuple[Answer, Answer, Answer]:
    """The answers where no attack breaks it in half of its runs."""
    judged = [a for a in priced.attacks if a.survival is not None]
    if not judged:
        why = priced.scale.undefined or "no run of any attack counts"
        return (
            Answer("What breaks it", "Not known", (why,)),
            Answer("At what price", words.MISSING, ()),
            Answer("How sure", words.MISSING, ()),
        )
    some = [a for a in judged if a.broken]
    runs = sum(len(a.seeds) for a in judged)
    what = Answer(
        "What breaks it",
        "Nothing yet" if not some else "No attack in most runs",
        (
            f"{counted(len(judged), 'attack')} with {counted(runs, 'run')}",
            *(f"{a.attack}: {a.broken} of {counted(len(a.seeds), 'run')}" for a in some),
        ),
    )
    price = Answer("At what price", *_bound(priced))
    worst = max(_survival(a).break_probability.high for a in judged)
    sure = Answer(
        "How sure",
        f"up to {words.share(worst)}",
        ("of runs may break within the budget all the same, 95 % interval",),
    )
    return what, price, sure


def _bound(priced: PricedAudit) -> tuple[str, tuple[str, ...]]:
    """What the price is above, and what that rests on."""
    least = None if priced.model_price is None else priced.model_price.median
    if least is None or least.above is None:
        return words.MISSING, ()
    if least.barred or not least.above:
        return "No price", ("more of any attack would not break half of its runs",)
    followed = "as far as the least followed of the attacks that might yet break it"
    return f"> {words.flops(least.above)} FLOPs", (followed,)


def _survival(attack: AttackPrice) -> Survival:
    assert attack.survival is not None, "asked of attacks that were judged"
    return attack.survival

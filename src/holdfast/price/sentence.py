"""The sentence that answers the question: what breaks the model, at what price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from holdfast.core import counted
from holdfast.price.audit import AttackPrice, Behaviour
from holdfast.price.breach import Threshold, Verdict
from holdfast.price.cost import Cost, Pricing
from holdfast.price.curves import Scale
from holdfast.price.runs import Price
from holdfast.price.words import count, dollars, duration, efforts, share


def sentence(
    attacks: Sequence[AttackPrice],
    before: Behaviour,
    scale: Scale,
    pricing: Pricing,
    bar: Threshold,
) -> tuple[str, str | None]:
    """The answer in words, and the attack that it names as the cheapest."""
    name = pricing.subject.name
    priced = [(a, a.price) for a in attacks if a.price is not None and a.broken]
    broken = [(a, p) for a, p in priced if not p.more]
    if broken:
        by_cost = sorted(broken, key=lambda pair: pair[1].median.spend.flops)
        paid = [(a, p) for a, p in by_cost if p.median.spend.flops > 0]
        free = [a for a, p in by_cost if not p.median.spend.flops]
        said = [_free(free, name)] if free else []
        if paid:
            cost = _paid(*paid[0], pricing, "it" if free else name)
            said.append(f"of the attacks that take some: {cost}" if free else cost)
        shown = paid[0][0] if paid else free[0]
        where = _seeds(shown) if paid or len(free) == 1 else f"`{shown.attack}` {_seeds(shown)}"
        answer = "; ".join(said) + (" " if paid else ", ") + where
        return f"{answer}: {_harm(shown, before, scale)}.", by_cost[0][0].attack
    if not attacks or all(a.verdict is Verdict.CRASHED for a in attacks):
        why = "every trial crashed" if attacks else "no attack was run"
        return f"Nothing can be said of {name}: {why}.", None
    if scale.undefined is not None:
        return f"What it costs to break {name} is undefined: {scale.undefined}.", None
    if all(a.verdict in (Verdict.UNDEFINED, Verdict.CRASHED) for a in attacks):
        why = next(a.reason for a in attacks if a.verdict is Verdict.UNDEFINED)
        return f"What it costs to break {name} is undefined: {why}.", None
    return _unbroken(attacks, priced, pricing, bar), None


def _paid(attack: AttackPrice, price: Price, pricing: Pricing, what: str) -> str:
    """What was needed, what that costs, and that it breaks `what`."""
    spend, effort = price.median.spend, efforts(price.median.spend)
    verb = "breaks" if effort.startswith("1 ") and " and " not in effort else "break"
    bill = f"{duration(spend.seconds)}, {_at_size(price.median, pricing)}"
    return f"{effort} ({bill}) of `{attack.attack}` {verb} {what}"


def _at_size(cost: Cost, pricing: Pricing) -> str:
    return f"{dollars(cost.usd_at_size.mid)} at {count(pricing.model_size)} scale"


def _free(attacks: Sequence[AttackPrice], name: str) -> str:
    """What needs nothing, so that figures of what takes compute stand apart."""
    names = [f"`{one.attack}`" for one in attacks]
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    verb = "breaks" if len(names) == 1 else "break"
    return f"{listed} {verb} {name} without compute"


def _seeds(attack: AttackPrice) -> str:
    if len(attack.seeds) == 1:
        return "in the one seed that was run"
    all_broke = attack.broken == len(attack.seeds)
    return f"in {'all' if all_broke else f'{attack.broken} of'} {len(attack.seeds)} seeds"


def _harm(attack: AttackPrice, before: Behaviour, scale: Scale) -> str:
    was = share(None if before.harm is None else before.harm.mean)
    harm = share(None if attack.harm is None else attack.harm.mean)
    of = "with no ceiling measured" if scale.absolute else f"of a ceiling of {scale.ceiling:.2f}"
    return f"harm {was} → {harm} {of}, utility kept {share(attack.utility_kept)}"


def _unbroken(
    attacks: Sequence[AttackPrice],
    priced: Sequence[tuple[AttackPrice, Price]],
    pricing: Pricing,
    bar: Threshold,
) -> str:
    name = pricing.subject.name
    if priced:
        attack, price = min(
            priced, key=lambda pair: pair[1].low.spend.flops if pair[1].low else float("inf")
        )
        assert price.low is not None, "an attack with a broken seed has a cheapest break"
        return (
            f"No attack of this suite broke {name} in most of its seeds; `{attack.attack}` did in "
            f"{attack.broken} of {len(attack.seeds)}, the cheapest at "
            f"{efforts(price.low.spend)} ({_at_size(price.low, pricing)})."
        )
    tried = "; ".join(_tried(a) for a in attacks)
    return (
        f"Nothing in this suite broke {name} at tau {bar.tau:g}, delta {bar.delta:g} within its "
        f"budget ({tried}). That bounds these attacks with these settings and says nothing of "
        "others."
    )


def _tried(attack: AttackPrice) -> str:
    """How far an attack went; of one that came to its end, that it did."""
    name, price = f"`{attack.attack}`", attack.price
    if attack.verdict is not Verdict.UNBROKEN or price is None:
        return f"{name} {attack.verdict}"
    if price.barred:
        return f"{name} to its end"
    spend = price.median.spend
    work = replace(spend, examples=0) if spend.steps or spend.queries else spend
    on = f" on {counted(spend.examples, 'example', show=count)}" if spend.examples else ""
    return f"{name} more than {efforts(work)}{on}"

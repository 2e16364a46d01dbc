"""Three attackers of one model: who knows a setting that works, who borrows one, who searches.

*oracle*     one run of the best setting: the least that breaking can cost by this attack
*transfer*   one run of the setting that was best on an undefended sibling, untuned here
*search*     settings drawn at random until one breaks, every draw that failed paid for

Between them lies what an attacker pays who knows something, but not everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from holdfast.core import Spend, canonical_json, counted
from holdfast.price.breach import Threshold, Verdict
from holdfast.price.cost import Cost, Pricing
from holdfast.price.evaluation import NO_LOOKS, Looker, Looks
from holdfast.price.runs import Price, binding, price_of
from holdfast.price.selection import Judged, Setting, by_setting, choose, grouped, setting_of
from holdfast.price.statistics.best_of import expected_draws, most_rate, search_cost

_FOLDS = 10
STUDIES = 5
"""Independent studies that a model-based search should have had."""


@dataclass(frozen=True)
class Oracle:
    """One run of the best setting.

    settings: those that won on `search` over all seeds.
    price: the median over seeds, each with the setting that wins without it (from the eleventh
        on, without a tenth of them). None where no success can be stated.
    fresh: whether that could be done; False where there is one seed, which then chose as well.
    """

    attack: str
    settings: Mapping[str, Any]
    price: Price | None
    broken: int
    seeds: int
    fresh: bool


@dataclass(frozen=True)
class Transfer:
    """One run of the setting that was best on `source`, an undefended sibling.

    attack, settings: None and empty where the sibling gives none. price: over the seeds that ran
    here with that setting; None where there are none, and `reason` says why.
    """

    source: str
    attack: str | None
    settings: Mapping[str, Any]
    price: Price | None
    broken: int
    seeds: int
    reason: str | None


@dataclass(frozen=True)
class Search:
    """Settings drawn at random, a fresh seed each, until one breaks.

    draws, broken: trials that count and those of them that broke. settings: how many were tried;
        of one alone no search can be told, and its price is that of a setting tuned beforehand.
    expected_draws: (n + 1) / (s + 1); None where nothing broke.
    failed, success: the mean spend of a draw that did not break, and of one that did.
    cost: c_f (1 - q) / q + c_s with q = s / n. more: nothing broke, so that it is above what the
        largest q gives that n failures leave possible at 95 %.
    evaluation: the looks that such a search pays for, at most; None where not known.
    studies: of an attack that searches within its own run, how many runs there were. Its draws
        are not exchangeable, so `cost` is the median run's up to its first break, `more` that of
        a run that did not, and `expected_draws`, `failed` and `success` are None.
    reason: why there is no cost, or how little it rests on; None else.
    """

    draws: int
    broken: int
    settings: int
    expected_draws: float | None
    failed: Spend | None
    success: Spend | None
    cost: Cost | None
    more: bool
    evaluation: Looks | None
    studies: int | None
    reason: str | None


@dataclass(frozen=True)
class Attackers:
    """The three of them. transfer: None where no sibling's ledger was given."""

    oracle: Oracle | None
    transfer: Transfer | None
    search: Search | None


@dataclass(frozen=True)
class Sibling:
    """What an attacker learnt on an undefended sibling: attack -> its winning setting there."""

    name: str
    best: Mapping[str, Setting]

    @property
    def cheapest(self) -> str | None:
        """The attack that broke the sibling at the least cost on `search`."""
        costs = {a: s.search_cost.flops for a, s in self.best.items() if s.search_cost is not None}
        return min(costs, key=lambda attack: costs[attack], default=None)


@dataclass(frozen=True)
class Market:
    """What attackers are priced with: the bar, the pricing, what a look costs, the sibling.

    searching: the attacks that search within their own run.
    """

    bar: Threshold
    pricing: Pricing
    looker: Looker | None
    sibling: Sibling | None
    searching: frozenset[str]

    def attackers(self, attack: str, trials: Sequence[Judged]) -> Attackers:
        """The three attackers that have this one attack."""
        return Attackers(
            oracle=oracle(attack, trials, self.bar, self.pricing),
            transfer=self._transfer(attack, trials) if self.sibling is not None else None,
            search=self._search(attack, trials),
        )

    def of_model(
        self, known: Sequence[Attackers], trials: Mapping[str, Sequence[Judged]]
    ) -> Attackers:
        """The three attackers that have every attack of the audit, from those that have one.

        The oracle knows which is the cheapest; transfer takes the one that was cheapest on the
        sibling; search draws attacks with their settings.
        """
        every = [trial for attack in sorted(trials) for trial in trials[attack]]
        transfer = None
        if self.sibling is not None:
            best = self.sibling.cheapest
            transfer = (
                Transfer(self.sibling.name, None, {}, None, 0, 0, "nothing broke the sibling")
                if best is None
                else self._transfer(best, trials.get(best, ()))
            )
        return Attackers(
            oracle=_least([a.oracle for a in known if a.oracle is not None]),
            transfer=transfer,
            search=search(every, self.pricing, self.looker),
        )

    def _search(self, attack: str, trials: Sequence[Judged]) -> Search | None:
        if attack in self.searching:
            return studies(trials, self.bar, self.pricing)
        return search(trials, self.pricing, self.looker)

    def _transfer(self, attack: str, trials: Sequence[Judged]) -> Transfer:
        assert self.sibling is not None, "asked only where there is one"
        best = self.sibling.best.get(attack)
        if best is None:
            return Transfer(
                self.sibling.name, attack, {}, None, 0, 0, "the attack was not run on the sibling"
            )
        same = [t for t in trials if t.curve.record.spec.setting == canonical_json(best.settings)]
        here = setting_of(same, self.bar) if same else None
        if here is None:
            why = "the sibling's best setting was not run on this model"
            return Transfer(self.sibling.name, attack, best.settings, None, 0, 0, why)
        undefined = _undefined(here.trials)
        return Transfer(
            source=self.sibling.name,
            attack=attack,
            settings=best.settings,
            price=None if undefined else price_of(here, self.pricing),
            broken=_broken(here.trials),
            seeds=len(here.trials),
            reason=undefined,
        )


def oracle(
    attack: str, trials: Sequence[Judged], bar: Threshold, pricing: Pricing
) -> Oracle | None:
    """One run of the best setting, each run with the setting that wins without its seed.

    None where no trial counts.
    """
    if not trials:
        return None
    groups = [[trials[i] for i in group] for group in grouped(trials)]
    chosen = choose([setting_of(group, bar) for group in groups])
    fresh = _fresh(groups, bar)
    runs = replace(chosen, trials=fresh) if fresh else chosen
    return Oracle(
        attack=attack,
        settings=chosen.settings,
        price=None if _undefined(runs.trials) else price_of(runs, pricing),
        broken=_broken(runs.trials),
        seeds=len(runs.trials),
        fresh=bool(fresh),
    )


def _fresh(groups: Sequence[Sequence[Judged]], bar: Threshold) -> tuple[Judged, ...]:
    """For each seed its run with the setting that others choose: all others, or nine in ten."""
    seeds = sorted({_seed(t) for group in groups for t in group})
    found: list[Judged] = []
    for first in range(min(_FOLDS, len(seeds))):
        out = set(seeds[first::_FOLDS])
        left = [[t for t in group if _seed(t) not in out] for group in groups]
        others = [(setting_of(rest, bar), i) for i, rest in enumerate(left) if rest]
        if others:
            best = choose([setting for setting, _ in others])
            own = next(i for setting, i in others if setting is best)
            found += [t for t in groups[own] if _seed(t) in out]
    return tuple(found)


def _seed(trial: Judged) -> int:
    return trial.curve.record.spec.seed


def search(trials: Sequence[Judged], pricing: Pricing, looker: Looker | None) -> Search | None:
    """What drawing at random among `trials` costs until one breaks; None where none counts.

    A draw that failed is billed with all that it spent; of one that broke, what it spent until
    then. Examples are those of the largest draw, since one pool serves all. What an attacker
    takes for a break on `search`, and is none on `held_out`, is a draw that failed.
    """
    defined = [t for t in trials if t.breach.verdict is not Verdict.UNDEFINED]
    settings = len({_what(t) for t in trials})
    broken = [t for t in defined if t.breach.cost is not None]
    failed = [t for t in defined if t.breach.cost is None]
    nothing = Search(
        draws=len(defined), broken=len(broken), settings=settings, expected_draws=None,
        failed=None, success=None, cost=None, more=False, evaluation=None, studies=None,
        reason=None,
    )  # fmt: skip
    if not defined:
        return replace(nothing, reason=trials[0].breach.reason) if trials else None
    short = [t.breach.reason for t in failed if t.breach.cut_short]
    if short:
        return replace(nothing, reason=f"{counted(len(short), 'draw')} {short[0]}")
    lost = [t.curve.record.spend for t in failed]
    won = [t.breach.cost for t in broken if t.breach.cost is not None]
    rate = len(broken) / len(defined) if broken else most_rate(len(defined))
    looks = None
    if looker is not None:
        looked = [_mean_looks(looker, half) for half in (failed, broken)]
        # One more, of the untouched model: utility is kept against it.
        looks = looked[0].times((1 - rate) / rate) + looked[1] + looker.attacker(1)
    return replace(
        nothing,
        expected_draws=expected_draws(len(defined), len(broken)),
        failed=_mean(lost) if lost else None,
        success=_mean(won) if won else None,
        cost=pricing.cost(_expected(lost, won, rate)),
        more=not broken,
        evaluation=looks,
        reason="one setting alone was tried, which is no search" if settings == 1 else None,
    )


def studies(trials: Sequence[Judged], bar: Threshold, pricing: Pricing) -> Search | None:
    """What an attack costs that searches within its own run: a run is one study, and one figure.

    What it pays for looking is in its own spend. None where no trial counts.
    """
    if not trials:
        return None
    settings = by_setting(trials, bar)
    chosen = choose(settings)
    runs, undefined = len(chosen.trials), _undefined(chosen.trials)
    price = None if undefined else price_of(chosen, pricing)
    few = f"{runs} independent studies, fewer than {STUDIES}" if runs < STUDIES else None
    return Search(
        draws=len(trials),
        broken=_broken(chosen.trials),
        settings=len(settings),
        expected_draws=None,
        failed=None,
        success=None,
        cost=None if price is None else price.median,
        more=price is not None and price.more,
        evaluation=NO_LOOKS,
        studies=runs,
        reason=undefined or few,
    )


def _what(trial: Judged) -> tuple[str, str]:
    spec = trial.curve.record.spec
    return spec.attack, spec.setting


def _mean_looks(looker: Looker, trials: Sequence[Judged]) -> Looks:
    """The looks that one of `trials` takes on average: up to the one that confirms a break."""
    if not trials:
        return NO_LOOKS
    readings: list[int] = []
    for trial in trials:
        tampered = len(trial.curve.tampered)
        at = trial.breach.reported if trial.breach.cost is not None else None
        readings.append(tampered if at is None else min(at + 1, tampered))
    return looker.attacker(1).times(fmean(readings))


def _mean(spends: Sequence[Spend]) -> Spend:
    """Of each field the mean, of examples the most."""
    return _expected([], spends, 1.0)


def _expected(lost: Sequence[Spend], won: Sequence[Spend], rate: float) -> Spend:
    """Field by field what a search costs in which so large a share of the draws breaks."""

    def of(field: str) -> float:
        failed, success = (
            fmean(float(getattr(s, field)) for s in spends) if spends else 0.0
            for spends in (lost, won)
        )
        return search_cost(failed, success, rate)

    return Spend(
        examples=max(s.examples for s in (*lost, *won)),
        steps=round(of("steps")),
        tokens=round(of("tokens")),
        flops=of("flops"),
        queries=round(of("queries")),
        seconds=of("seconds"),
    )


def _broken(trials: Sequence[Judged]) -> int:
    return sum(t.breach.verdict is Verdict.BROKEN for t in trials)


def _undefined(trials: Sequence[Judged]) -> str | None:
    """Why no cost can be stated of most of `trials`, or None if it can."""
    reasons = [t.breach.reason for t in trials if t.breach.verdict is Verdict.UNDEFINED]
    return reasons[0] if reasons and 2 * _broken(trials) <= len(trials) else None


def _least(known: Sequence[Oracle]) -> Oracle | None:
    """The oracle that breaks at the least cost; where none does, that whose bound holds for all."""
    priced = [(o, o.price) for o in known if o.price is not None]
    broke = [(o, price) for o, price in priced if not price.more]
    if broke:
        return min(broke, key=lambda pair: pair[1].median.spend.flops)[0]
    return binding(priced)[0] if priced else None

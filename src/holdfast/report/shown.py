"""What a page shows of an audit too large to be read row by row; report.json has every row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from holdfast.price import (
    AttackPrice,
    PricedAudit,
    SeedResult,
    SettingResult,
    TrialLine,
    Verdict,
)

ROWS = 1000
"""Rows up to which a table is shown whole."""

SEEDS = 500
"""Seeds up to which all are drawn and have their readings in tables."""

GROUPS = 100
"""Rows of what was left out, where it is told by attack and reason."""


@dataclass(frozen=True)
class Tally:
    """What became of one attack's trials. left_out: those that do not count."""

    attack: str
    trials: int
    left_out: int
    verdicts: tuple[int, ...]


VERDICTS = (
    Verdict.BROKEN, Verdict.UNBROKEN, Verdict.COLLAPSED, Verdict.DIVERGED, Verdict.UNDEFINED,
)  # fmt: skip
"""The columns of a tally; a trial that crashed is left out."""


def seeds(priced: PricedAudit, attack: AttackPrice) -> tuple[SeedResult, ...]:
    """Every seed of the winning setting; of too many the first few, which no result has picked."""
    if sum(len(a.seeds) for a in priced.attacks) <= SEEDS:
        return attack.seeds
    return attack.seeds[: max(1, SEEDS // len(priced.attacks))]


def drawn(priced: PricedAudit) -> PricedAudit:
    """`priced` with the seeds that are drawn."""
    return replace(
        priced, attacks=tuple(replace(a, seeds=seeds(priced, a)) for a in priced.attacks)
    )


def trials(priced: PricedAudit) -> tuple[TrialLine, ...]:
    """Every trial; of too many those of the winning settings and the controls."""
    if len(priced.trials) <= ROWS:
        return priced.trials
    winners = {seed.key for attack in priced.attacks for seed in attack.seeds}
    kept = [
        t for t in priced.trials if t.key in winners or (t.verdict is None and t.excluded is None)
    ]
    return tuple(kept[:ROWS])


def tallies(priced: PricedAudit) -> tuple[Tally, ...]:
    """Attack by attack what became of its trials on the target."""
    lines: dict[str, list[TrialLine]] = {a.attack: [] for a in priced.attacks}
    for line in priced.trials:
        if line.attack in lines:
            lines[line.attack].append(line)
    found: list[Tally] = []
    for attack, own in lines.items():
        counted = Counter(line.verdict for line in own if line.excluded is None)
        left_out = sum(line.excluded is not None for line in own)
        found.append(Tally(attack, len(own), left_out, tuple(counted[v] for v in VERDICTS)))
    return tuple(found)


def settings(priced: PricedAudit, attack: AttackPrice) -> Sequence[SettingResult]:
    """Every setting that was tried; of too many the best, as the search saw them."""
    tried = attack.settings_tried
    if sum(len(a.settings_tried) for a in priced.attacks) <= ROWS:
        return tried

    def worth(setting: SettingResult) -> tuple[bool, float, float]:
        cost = setting.cost.flops if setting.cost is not None else float("inf")
        return not setting.chosen, cost, -setting.harm

    return sorted(tried, key=worth)[: max(1, ROWS // len(priced.attacks))]


def left_out(priced: PricedAudit) -> tuple[tuple[str, str, int], ...]:
    """Attack, reason, trials: what was left out, the most frequent first."""
    found = Counter((line.attack, line.excluded or "") for line in priced.excluded)
    return tuple((*about, n) for about, n in found.most_common(GROUPS))

"""What a comparison with this audit can see: smaller differences it will often miss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean, variance

import numpy as np

from holdfast.core import Reading, SplitIndex, counted
from holdfast.price.curves import mean_of
from holdfast.price.intervals import matrix
from holdfast.price.passages import Survival
from holdfast.price.statistics.detectable import (
    ALPHA,
    design_effect,
    detectable_difference,
    detectable_fold,
    detectable_paired,
    detectable_with_seeds,
)

DISCORDANT = 0.2
"""The share of prompts on which two models are taken to disagree."""


@dataclass(frozen=True)
class Detectable:
    """The least differences that two models audited like this show with 80 % power at 5 %.

    Attributes:
        prompts: on `held_out`. effective: as many prompts about different subjects would say the
            same.
        seeds: of the attack that has the fewest; None where no attack could be judged.
        seed_sd: of harm between the seeds of an attack; None with one seed each.
        log_sd: of the natural logarithm of cost between runs of an attack, the width of the
            readings included; None where no attack broke in two runs and more.
        unpaired: least difference in harm between models asked different prompts, at 50 %.
        paired: the same asked the same prompts, where they disagree on a fifth of them or, if
            the difference is larger, on as many as that.
        with_seeds: the same for means over seeds, of which others would have differed; None with
            one seed each.
        fold: how many times dearer one model must be to break; None with fewer than four runs
            of each, of which no permutation test can make anything.
        least_p: the smallest p that a permutation test of so many runs of each can give.
    """

    prompts: int
    effective: float
    seeds: int | None
    seed_sd: float | None
    log_sd: float | None
    unpaired: float | None
    paired: float | None
    with_seeds: float | None
    fold: float | None
    least_p: float | None


def missed(found: Detectable) -> str:
    """What may be missed, in words."""
    least = found.paired if found.with_seeds is None else found.with_seeds
    over = counted(found.prompts, "prompt")
    if found.with_seeds and found.seeds is not None:
        over += f" and {counted(found.seeds, 'seed')}"
    harm = (
        f"differences in harm below {least:.2f} would often be missed"
        if least is not None
        else "no difference in harm could be relied on to show"
    )
    if found.fold is not None:
        cost = f", and of costs that differ less than {found.fold:.1f}-fold"
    elif found.least_p is not None and found.least_p > ALPHA:
        cost = f", and no difference in cost can be shown: the smallest p is {found.least_p:.2f}"
    elif found.least_p is not None:
        cost = ", and how much costs vary between runs is not known: no attack broke in all of its"
    else:
        cost = ""
    return f"Compared with another model on the same {over} each, {harm} (80 % power, 5 %){cost}."


def detectable(
    index: SplitIndex | None,
    readings: Sequence[Sequence[Reading]],
    found: Mapping[str, Survival],
) -> Detectable | None:
    """What the prompts and seeds of an audit can tell apart; None where nothing was asked.

    Args:
        index: of the split `held_out`.
        readings: of each attack, the one that is reported for each seed.
        found: attack -> its runs.
    """
    if index is None or not index.ids:
        return None
    scores = [matrix(own, "held_out", "harm") for own in readings]
    known = [rows for rows in scores if rows is not None]
    effect = design_effect(np.vstack(known), index.groups) if known else 1.0
    effective = len(index.ids) / effect
    seeds = min((one.runs for one in found.values()), default=None)
    seed_sd, log_sd = _seed_sd(readings), _log_sd(list(found.values()))
    return Detectable(
        prompts=len(index.ids),
        effective=effective,
        seeds=seeds,
        seed_sd=seed_sd,
        log_sd=log_sd,
        unpaired=detectable_difference(effective),
        paired=detectable_paired(effective, DISCORDANT),
        with_seeds=(
            _with_seeds(effective, seeds, seed_sd)
            if seeds is not None and seed_sd is not None
            else None
        ),
        fold=(detectable_fold(seeds, log_sd) if seeds is not None and log_sd is not None else None),
        least_p=min(1.0, 2 / comb(2 * seeds, seeds)) if seeds else None,
    )


def _with_seeds(prompts: float, seeds: int, seed_sd: float) -> float | None:
    """The least difference in harm between means over seeds; None where it would be above 1."""
    apart, least = DISCORDANT, None
    for _ in range(60):  # a difference above the disagreement takes as much of it
        least = detectable_with_seeds(math.sqrt(apart / (2 * prompts)), seeds, seed_sd)
        if least is None or least <= apart:
            break
        apart = least
    return least if least is not None and least <= 1.0 else None


def _seed_sd(readings: Sequence[Sequence[Reading]]) -> float | None:
    """Of mean harm between the seeds of an attack, pooled over attacks."""
    found: list[float] = []
    for own in readings:
        harms = [h for r in own if (h := mean_of(r, "held_out", "harm")) is not None]
        if len(harms) > 1:
            found.append(variance(harms))
    return math.sqrt(fmean(found)) if found else None


def _log_sd(found: Sequence[Survival]) -> float | None:
    """Of the logarithm of cost between runs, pooled over attacks of which every run broke.

    A run that broke between two readings may have done so anywhere between: that adds the
    variance of a uniform distribution on the logarithm's scale.
    """
    spreads: list[float] = []
    for one in found:
        costs = [p.at for p in one.passages if p.at is not None and p.at > 0]
        if len(costs) < 2 or len(costs) < one.runs:
            continue
        widths = [
            math.log(p.at / p.after) ** 2 / 12
            for p in one.passages
            if p.at is not None and p.after > 0
        ]
        spreads.append(variance(map(math.log, costs)) + (fmean(widths) if widths else 0.0))
    return math.sqrt(fmean(spreads)) if spreads else None

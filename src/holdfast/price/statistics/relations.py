"""How two things go together across models: rank association, and elasticity of cost.

The unit is the model. What is said of a model beforehand, its resistance, must be measured
independently of what it costs to break it, or else the relation says that cost is cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr
from scipy.stats import t as student

from holdfast.core import counted

MINIMUM = 8
"""The fewest models of which more than a description is given."""

_SETTLED = 0.9  # share of the resamples that must give a value, or no interval is stated
_LARGEST = 200.0  # a slope beyond it comes of a likelihood without a maximum
_STEEPEST = 1e4  # of 1 / sigma: costs that lie on the line
_HALF_LOG_TAU = 0.5 * float(np.log(2 * np.pi))
_CHUNK = 4_000_000  # entries of the sign matrices that are held at once

Array = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class CostBracket:
    """A cost that is known to lie in (low, high]: exactly that where both are one.

    low: at least 0. high: above 0; infinite where nothing but a lower bound is known.
    """

    low: float
    high: float

    @property
    def censored(self) -> bool:
        """Whether nothing but a lower bound is known."""
        return math.isinf(self.high)


@dataclass(frozen=True)
class RankAssociation:
    """Kendall's tau-b over models.

    Attributes:
        tau: None where one side is the same in all models.
        low, high, p: None below `MINIMUM` models, or where they cannot be stated.
        partial: tau with the models' size held; None where that is unknown or one for all.
        censored: models whose cost is only known to be above a bound.
        reason: why something is missing, or None.
    """

    tau: float | None
    low: float | None
    high: float | None
    p: float | None
    partial: float | None
    models: int
    censored: int
    reason: str | None


def kendall(
    resistance: Sequence[float],
    cost: Sequence[CostBracket],
    sizes: Sequence[float] | None = None,
    *,
    confidence: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> RankAssociation:
    """Whether models that resist more cost more to break, by rank.

    How:     two models are ordered by cost only where their brackets do not overlap; a pair of
             unknown order counts as a tie does. The interval is the percentile bootstrap over
             models, the p-value that of a two-sided permutation of costs among models.

    Args:
        resistance: of each model.
        cost: of each model.
        sizes: parameters of each model; held in the partial association.
        confidence: of the interval.
        replicates: resamples, and permutations.
        seed: of both.

    Paper:   Kendall 1945, doi:10.1093/biomet/33.3.239; order under censoring: Brown, Hollander
             and Korwar 1974; partial: Kendall 1942, doi:10.1093/biomet/32.3-4.277.
    Differs: below `MINIMUM` models neither interval nor p-value is given. Kendall's partial
             association is less than tau where size decides both sides, but not 0.
    """
    ours, theirs = _signs(_exact(resistance)), _signs(cost)
    held = None if sizes is None else _signs(_exact(sizes))
    models, censored = len(cost), sum(c.censored for c in cost)
    everything = np.arange(models)[None]
    tau = _known(_tau(ours, theirs, everything))
    partial = None if held is None else _known(_partial(ours, theirs, held, everything))
    nothing = RankAssociation(tau, None, None, None, partial, models, censored, None)
    if tau is None:
        return _because(nothing, "the models do not differ, or none can be ordered by cost")
    if models < MINIMUM:
        return _because(nothing, _few(models))
    random = np.random.default_rng(seed)
    draws = random.integers(0, models, (replicates, models))
    low, high = _percentiles(_tau(ours, theirs, draws), confidence)
    shuffled = random.permuted(np.tile(np.arange(models), (replicates, 1)), axis=1)
    stronger = np.abs(_products(ours, theirs, shuffled)) >= abs(float((ours * theirs).sum())) - 1e-9
    p = (1 + int(stronger.sum())) / (1 + replicates)
    return RankAssociation(tau, low, high, p, partial, models, censored, None)


@dataclass(frozen=True)
class Run:
    """One attack run: its model, what that model's resistance is, and what it cost to break it."""

    model: str
    attack: str
    log_resistance: float
    cost: CostBracket


@dataclass(frozen=True)
class Elasticity:
    """By what share cost rises when resistance rises by one per cent.

    Attributes:
        beta: d log cost / d log resistance; None where it cannot be estimated.
        low, high: None below `MINIMUM` models, or where they cannot be stated.
        sigma: standard deviation of log cost about the line.
        reason: why something is missing, or None.
    """

    beta: float | None
    low: float | None
    high: float | None
    sigma: float | None
    models: int
    runs: int
    censored: int
    reason: str | None


def elasticity(
    runs: Sequence[Run], *, confidence: float = 0.95, replicates: int = 999, seed: int = 0
) -> Elasticity:
    """How log cost goes with log resistance: a log-normal accelerated-failure-time model.

    How:     ln C = b0 + beta ln R + attack + sigma e, by maximum likelihood over runs whose cost
             is exact, in a bracket, or above a bound. Runs of one model go together, so models
             are resampled, not runs, and the interval is beta +- t (models - 2) times the
             standard deviation over the resamples.

    Args:
        runs: of all models and attacks; costs of 0 say nothing of a logarithm and are refused.
        confidence: of the interval.
        replicates: resamples of the models.
        seed: of the resamples.

    Paper:   Kalbfleisch and Prentice 2002, ch. 2 (the model); Cameron, Gelbach and Miller 2008,
             doi:10.1162/rest.90.3.414 (resampling clusters).
    Differs: below `MINIMUM` models no interval is given.
    """
    models = sorted({run.model for run in runs})
    censored = sum(run.cost.censored for run in runs)
    assert all(run.cost.high > 0 for run in runs), "a cost of 0 has no logarithm"
    found = Elasticity(None, None, None, None, len(models), len(runs), censored, None)
    if lacking := _inestimable(runs, models, censored):
        return _because(found, lacking)
    design = _Design.of(runs)
    fit = design.fitted(np.ones(len(runs)))
    if fit is None:
        return _because(found, "the costs leave the slope open: too many are only bounds")
    beta, sigma = fit
    found = Elasticity(beta, None, None, sigma, len(models), len(runs), censored, None)
    if len(models) < MINIMUM:
        return _because(found, _few(len(models)))
    spread = _spread(design, runs, models, replicates, seed)
    if spread is None:
        return _because(found, "too many resamples of the models leave the slope open")
    reach = float(student.ppf(0.5 + confidence / 2, len(models) - 2)) * spread
    return Elasticity(
        beta, beta - reach, beta + reach, sigma, len(models), len(runs), censored, None
    )


Found = TypeVar("Found", RankAssociation, Elasticity)


def _inestimable(runs: Sequence[Run], models: Sequence[str], censored: int) -> str | None:
    """Why no slope can be estimated, or None."""
    if len(models) < 3:
        return f"a line needs 3 models: there are {len(models)}"
    if len({run.log_resistance for run in runs}) < 2:
        return "all models resist alike"
    if censored > len(runs) - 2:
        return "fewer than two runs broke a model"
    return None


@dataclass(frozen=True)
class _Design:
    """Runs as arrays: the columns (n, k) of the line, resistance the second; bounds (n,) in logs.

    `middle` has been taken from the bounds, so that the numbers are small.
    """

    columns: Array
    low: Array
    high: Array
    exact: NDArray[np.bool_]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> _Design:
        attacks = sorted({run.attack for run in runs})[1:]
        x = np.array([run.log_resistance for run in runs])
        others = [[float(run.attack == name) for run in runs] for name in attacks]
        columns = np.column_stack([np.ones(len(runs)), x - x.mean(), *map(np.array, others)])
        with np.errstate(divide="ignore"):
            low = np.log(np.array([run.cost.low for run in runs], dtype=float))
            high = np.log(np.array([run.cost.high for run in runs], dtype=float))
        middle = float(np.median(np.where(np.isfinite(high), high, low)))
        return cls(columns, low - middle, high - middle, low == high)

    def fitted(self, weights: Array) -> tuple[float, float] | None:
        """Slope and sigma for runs that count so often; None where there is no maximum."""
        if np.linalg.matrix_rank(self.columns[weights > 0, :2]) < 2:
            return None
        best = self.optimum(weights)
        slope, sigma = float(best[1] / best[-1]), float(1 / best[-1])
        found = math.isfinite(slope) and abs(slope) < _LARGEST and best[-1] < _STEEPEST
        return (slope, sigma) if found else None

    def optimum(self, weights: Array) -> Array:
        """The parameters of the largest likelihood: the line's over sigma, then 1 / sigma."""
        start = self._start(weights)
        bounds = [(None, None)] * (len(start) - 1) + [(1 / _STEEPEST, _STEEPEST)]
        done = minimize(
            self.loss, start, args=(weights,), jac=True, method="L-BFGS-B", bounds=bounds
        )
        return done.x

    def _start(self, weights: Array) -> Array:
        """Least squares on the bounds: where the search begins."""
        y = np.where(np.isfinite(self.high), self.high, self.low)
        root = np.sqrt(weights)
        line = np.linalg.lstsq(self.columns * root[:, None], y * root, rcond=None)[0]
        rest = y - self.columns @ line
        scale = float(np.sqrt((weights * rest**2).sum() / weights.sum()))
        gamma = 1 / max(scale, 1e-2)
        return np.append(line * gamma, gamma)

    def loss(self, parameters: Array, weights: Array) -> tuple[float, Array]:
        """Minus the log-likelihood, with its gradient, in (b / sigma, 1 / sigma).

        In these it is convex (Burridge 1981), so what is found is the one minimum.
        """
        line, gamma = self.columns @ parameters[:-1], parameters[-1]
        with np.errstate(invalid="ignore"):
            upper, lower = self.high * gamma - line, self.low * gamma - line
        e = self.exact
        lower[e] = -np.inf
        value, by_upper, by_lower = _interval(lower, upper)
        value[e] = np.log(gamma) - upper[e] ** 2 / 2 - _HALF_LOG_TAU
        by_upper[e], by_lower[e] = -upper[e], 0.0
        by_line = -(by_upper + by_lower)
        bounded = _times(by_upper, self.high) + _times(by_lower, self.low)
        by_gamma = (weights * (bounded + e / gamma)).sum()
        gradient = np.append(self.columns.T @ (weights * by_line), by_gamma)
        return -float((weights * value).sum()), -gradient


def _interval(lower: Array, upper: Array) -> tuple[Array, Array, Array]:
    """log(Phi(upper) - Phi(lower)) and its derivatives by both, exact far out in either tail."""
    flip = lower > 0  # in the upper tail the difference is taken in the lower one
    near, far = np.where(flip, -upper, lower), np.where(flip, -lower, upper)
    top = log_ndtr(far)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(near == -np.inf, top, top + np.log1p(-np.exp(log_ndtr(near) - top)))
        value = np.maximum(value, -1e10)
    density = [_density(z, value) for z in (upper, lower)]
    return value, density[0], -density[1]


def _density(z: Array, value: Array) -> Array:
    """phi(z) over a probability whose logarithm is `value`; 0 at the ends."""
    inner = np.where(np.isfinite(z), z, 0.0)
    return np.where(
        np.isfinite(z), np.exp(np.minimum(-(inner**2) / 2 - _HALF_LOG_TAU - value, 600)), 0.0
    )


def _times(slope: Array, bound: Array) -> Array:
    """A product in which an infinite bound, whose slope is 0, counts nothing."""
    return np.where(np.isfinite(bound), slope * np.where(np.isfinite(bound), bound, 0.0), 0.0)


def _spread(
    design: _Design, runs: Sequence[Run], models: Sequence[str], replicates: int, seed: int
) -> float | None:
    """Standard deviation of the slope over resamples of the models."""
    random = np.random.default_rng(seed)
    member = np.array([models.index(run.model) for run in runs])
    drawn = random.integers(0, len(models), (replicates, len(models)))
    times = np.stack([np.bincount(row, minlength=len(models)) for row in drawn])
    fits = [design.fitted(counts[member].astype(float)) for counts in times]
    slopes = [fit[0] for fit in fits if fit is not None]
    if len(slopes) < _SETTLED * replicates:
        return None
    return float(np.std(slopes, ddof=1))


def _exact(values: Sequence[float]) -> list[CostBracket]:
    return [CostBracket(value, value) for value in values]


def _signs(values: Sequence[CostBracket]) -> Whole:
    """(n, n): 1 where the row's model is known to be above the column's, -1 below, 0 unknown."""
    low = np.array([v.low for v in values], dtype=float)
    high = np.array([v.high for v in values], dtype=float)
    touching = low[:, None] >= high[None, :]
    above = touching & ((low[:, None] > high[None, :]) | (high > low)[:, None])
    return above.astype(np.int64) - above.T.astype(np.int64)


def _products(ours: Whole, theirs: Whole, rows: Whole) -> Array:
    """Sum over pairs of the product of signs, `theirs` put in the order of each of `rows`."""
    return np.concatenate(
        [
            (ours[None] * theirs[part[:, :, None], part[:, None, :]]).sum((1, 2))
            for part in _parts(rows)
        ]
    ).astype(float)


def _tau(ours: Whole, theirs: Whole, rows: Whole) -> Array:
    """Tau-b of each row of indices (r, n), nan where one side has no pair in a known order."""
    found: list[Array] = []
    for part in _parts(rows):
        at = part[:, :, None], part[:, None, :]
        a, b = ours[at], theirs[at]
        scale = np.sqrt((a * a).sum((1, 2)) * (b * b).sum((1, 2)).astype(float))
        with np.errstate(invalid="ignore"):
            found.append((a * b).sum((1, 2)) / np.where(scale > 0, scale, np.nan))
    return np.concatenate(found)


def _partial(ours: Whole, theirs: Whole, held: Whole, rows: Whole) -> Array:
    """Kendall's partial tau; nan where what is held is one for all, or decides either side."""
    xy, xz, yz = (_tau(*pair, rows) for pair in ((ours, theirs), (ours, held), (theirs, held)))
    room = (1 - xz**2) * (1 - yz**2)
    with np.errstate(invalid="ignore"):
        return (xy - xz * yz) / np.sqrt(np.where(room > 1e-12, room, np.nan))


def _parts(rows: Whole) -> list[Whole]:
    """`rows` in pieces whose sign matrices fit into memory."""
    step = max(1, _CHUNK // rows.shape[1] ** 2)
    return [rows[at : at + step] for at in range(0, len(rows), step)]


def _percentiles(values: Array, confidence: float) -> tuple[float | None, float | None]:
    known = values[np.isfinite(values)]
    if len(known) < _SETTLED * len(values):
        return None, None
    low, high = np.quantile(known, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def _known(values: Array) -> float | None:
    return float(values[0]) if np.isfinite(values[0]) else None


def _few(models: int) -> str:
    return f"{counted(models, 'model')}: a description, from {MINIMUM} on a test"


def _because(found: Found, reason: str) -> Found:
    return replace(found, reason=reason)

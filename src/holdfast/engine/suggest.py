"""Settings to try next, from those that were tried: a seeded search that can be taken up again.

Paper: arXiv 2304.11127 (the estimator), as Optuna implements it, with a constraint.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.core import Defence, Seed, SpecError
from holdfast.core.registry import name_of

_RANDOM = 5  # settings tried at random before the estimator is asked


@dataclass(frozen=True)
class Tried:
    """One point of a space, what came of it (low is sought), and by how much it fell short."""

    settings: Mapping[str, Any]
    value: float
    shortfall: float


def suggest(
    method: type[Defence], tried: Sequence[Tried], seed: Seed, fixed: Collection[str] = ()
) -> dict[str, Any]:
    """The point of the method's own space to try after `tried`, the same for the same history.

    Args:
        method: names its space.
        tried: the history.
        seed: decides every draw.
        fixed: settings that are not searched.

    Raises:
        SpecError: there is nothing to search.
    """
    import optuna

    own = method.space()
    space: dict[str, Any] = {
        n: optuna.distributions.CategoricalDistribution(tuple(v)) for n, v in own.grid.items()
    }
    space |= {name: _distribution(*of) for name, of in own.ranges.items()}
    space = {name: of for name, of in space.items() if name not in fixed}
    if not space:
        raise SpecError(
            "a defence with settings worth searching",
            found=f"{name_of('defences', method)}, which names none or has all of them fixed",
            remedy="Leave --tune out.",
        )
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed.fork(len(tried)).value % 2**32,
                n_startup_trials=_RANDOM,
                multivariate=True,
                constraints_func=lambda trial: (trial.user_attrs["shortfall"],),
            )
            study = optuna.create_study(sampler=sampler)
            for one in tried:
                params = {n: v for n, v in one.settings.items() if n in space}
                if params.keys() == space.keys():
                    study.add_trial(
                        optuna.trial.create_trial(
                            params=params,
                            distributions=space,
                            value=one.value,
                            user_attrs={"shortfall": one.shortfall},
                            system_attrs={"constraints": (one.shortfall,)},
                        )
                    )
            return dict(study.ask(space).params)
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(low: float, high: float, kind: str) -> Any:
    import optuna

    if kind == "int":
        return optuna.distributions.IntDistribution(int(low), int(high))
    return optuna.distributions.FloatDistribution(low, high, log=kind == "log")

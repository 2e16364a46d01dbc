"""Losses of several terms, each with a pass of its own."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

from torch import Tensor

from holdfast.core import SpecError
from holdfast.core.checks import is_finite
from holdfast.models import Weights
from holdfast.train.fit import backward
from holdfast.train.hardening import StepPull

Term = Callable[[int], Tensor | None]
"""Step n, from 0 -> a summand of its loss, or None where it has none."""


def by_terms(*terms: Term) -> Callable[[Weights], StepPull]:
    """A defence that follows the gradient of a sum, one term after the other.

    The graph of each is gone before the next is begun, so memory is that of the largest. A term
    that is not finite ends the step without a gradient worth taking.
    """

    def pull(step: int) -> float:
        total = 0.0
        for term in terms:
            loss = term(step)
            if loss is not None:
                total += backward(loss)
            if total - total != 0.0:
                return nan
        return total

    return lambda _: pull


def check_weights(settings: object, *fields: str) -> None:
    """Refuse anything but finite numbers from 0 as the weights of terms.

    Raises:
        SpecError: naming the first field that is not one.
    """
    for field in fields:
        value: object = getattr(settings, field)
        if not (is_finite(value) and value >= 0.0):
            raise SpecError(
                f"a finite number from 0 for {field!r}",
                found=repr(value),
                remedy=f"Give {type(settings).__name__.lower()}:{field}=N; 0 leaves the term out.",
            )

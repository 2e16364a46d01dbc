"""Checks that settings make on themselves when they are constructed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from holdfast.core.errors import SpecError


def is_finite(value: object) -> TypeGuard[float]:
    """Whether `value` is a number, and neither NaN nor infinite; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def require_positive(settings: object, *fields: str) -> None:
    """Refuse zero, negative, infinite and non-numeric values in the named fields.

    Raises:
        SpecError: naming the first field that is not positive.
    """
    for field in fields:
        value: object = getattr(settings, field)
        if not (is_finite(value) and value > 0):
            raise SpecError(
                f"a positive number for {field!r}",
                found=repr(value),
                remedy=f"Give {type(settings).__name__.lower()}:{field}=N with N above 0.",
            )


def require_finite(settings: object, *fields: str) -> None:
    """Refuse NaN, infinities and non-numeric values in the named fields.

    Raises:
        SpecError: naming the first field that is not a finite number.
    """
    for field in fields:
        value: object = getattr(settings, field)
        if not is_finite(value):
            raise SpecError(
                f"a finite number for {field!r}",
                found=repr(value),
                remedy=f"Give {type(settings).__name__.lower()}:{field}=N.",
            )


def require_whole(settings: object, *fields: str) -> None:
    """Refuse anything but whole numbers above 0 in the named fields.

    Raises:
        SpecError: naming the first field that is not one.
    """
    require_positive(settings, *fields)
    for field in fields:
        if not isinstance(getattr(settings, field), int):
            raise SpecError(
                f"a whole number for {field!r}",
                found=repr(getattr(settings, field)),
                remedy=f"Give {type(settings).__name__.lower()}:{field}=N with a whole N.",
            )


def require_one_of(settings: object, field: str, allowed: Sequence[str]) -> None:
    """Refuse any word but the allowed ones.

    Raises:
        SpecError: naming the field and the words that it takes.
    """
    value: object = getattr(settings, field)
    if value not in allowed:
        raise SpecError(
            f"one of {', '.join(allowed)} for {field!r}",
            found=repr(value),
            remedy=f"Give {type(settings).__name__.lower()}:{field}={allowed[0]} or another.",
        )


def require_share(settings: object, *fields: str) -> None:
    """Refuse anything but numbers from 0 to 1 in the named fields.

    Raises:
        SpecError: naming the first field that is not one.
    """
    for field in fields:
        value: object = getattr(settings, field)
        if not (is_finite(value) and 0.0 <= value <= 1.0):
            raise SpecError(
                f"a share from 0 to 1 for {field!r}",
                found=repr(value),
                remedy=f"Give {type(settings).__name__.lower()}:{field}=N with N in it.",
            )


def require_name(settings: object, *fields: str) -> None:
    """Refuse anything but None and texts that are not empty in the named fields.

    Raises:
        SpecError: naming the first field that is neither.
    """
    for field in fields:
        value: object = getattr(settings, field)
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise SpecError(
                f"a name for {field!r}",
                found=repr(value),
                remedy=f"Give {type(settings).__name__.lower()}:{field}=NAME, or leave it out.",
            )


def require_text(settings: object, *fields: str) -> None:
    """Refuse anything but text with at least one visible character in the named fields.

    Raises:
        SpecError: naming the first field that is not one.
    """
    for field in fields:
        value: object = getattr(settings, field)
        if not (isinstance(value, str) and value.strip()):
            raise SpecError(
                f"some words for {field!r}",
                found=repr(value),
                remedy=f"Give {type(settings).__name__.lower()}:{field}=WORDS.",
            )

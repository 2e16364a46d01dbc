"""Checks that settings make on themselves when they are constructed."""

from __future__ import annotations

import math

from holdfast.core.errors import SpecError


def require_positive(settings: object, *fields: str) -> None:
    """Refuse zero, negative and non-numeric values in the named fields.

    Raises:
        SpecError: naming the first field that is not positive.
    """
    for field in fields:
        value: object = getattr(settings, field)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not value > 0 or math.isinf(value):  # not above 0 is NaN, too
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
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
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

"""Tables of assumptions as TOML: read, and refused in one sentence where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from holdfast.core import DataMissing, SpecError, read_toml
from holdfast.core.checks import is_finite
from holdfast.core.registry import unknown

Triple = tuple[float, float, float]
"""Low, middle and high."""


def read_table(path: Path, noun: str) -> dict[str, Any]:
    """What stands in the TOML file at `path`.

    Raises:
        DataMissing: there is no such file. SpecError: it is no TOML.
    """
    try:
        return read_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DataMissing(
            f"a file of {noun}", found=f"{str(path)!r}: {why}", remedy="Give the path of one."
        ) from None
    except ValueError as error:
        raise SpecError(
            f"a file of {noun} in TOML", found=f"{path.name}: {error}", remedy="Mend that line."
        ) from None


@dataclass(frozen=True)
class Row:
    """One table of such a file; `where` names it in a complaint: "persona 'lab'"."""

    values: Mapping[str, Any]
    where: str

    def only(self, allowed: Sequence[str], needed: Sequence[str] = ()) -> None:
        """Refuse a key that is not `allowed`, and the lack of one that is `needed`.

        Raises:
            SpecError: naming the first of them.
        """
        for key in self.values:
            if key not in allowed:
                raise unknown(f"key of {self.where}", key, list(allowed))
        for key in needed:
            if key not in self.values:
                raise SpecError(
                    f"{key!r} in {self.where}",
                    found="none",
                    remedy=f"Set it; its keys are {', '.join(allowed)}.",
                )

    def text(self, key: str) -> str:
        """A line of text.

        Raises:
            SpecError: it is none, or holds what cannot be printed.
        """
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise self.misfit(key, "a line of text", value)
        return value

    def amount(self, key: str) -> float | None:
        """A number that is not below 0, or None where the key is left out.

        Raises:
            SpecError: it is something else.
        """
        value = self.values.get(key)
        if value is None:
            return None
        if not is_finite(value) or value < 0:
            raise self.misfit(key, "a number of 0 or more", value)
        return float(value)

    def whole(self, key: str) -> int | None:
        """A whole number of 0 or more, or None where the key is left out.

        Raises:
            SpecError: it is something else.
        """
        value = self.amount(key)
        if value is not None and not value.is_integer():
            raise self.misfit(key, "a whole number of 0 or more", self.values[key])
        return None if value is None else int(value)

    def triple(self, key: str) -> Triple:
        """A low, a middle and a high value, in this order, not below 0.

        Raises:
            SpecError: it is something else.
        """
        value: object = self.values.get(key)
        row = cast("list[Any]", value) if isinstance(value, list) else []
        if len(row) != 3 or not all(is_finite(v) and v >= 0 for v in row) or sorted(row) != row:
            raise self.misfit(key, "a low, a middle and a high number of 0 or more", value)
        low, middle, high = map(float, row)
        return low, middle, high

    def misfit(self, key: str, expected: str, value: object) -> SpecError:
        """The fault that a value does not fit."""
        shown = repr(value)[:60]
        return SpecError(
            f"{expected} for {key!r} of {self.where}", found=shown, remedy="Mend it in the file."
        )


def rows(data: Mapping[str, Any], key: str, noun: str) -> list[Row]:
    """The tables [[key]] of a file, each with its own name.

    Raises:
        SpecError: there is none, one is no table or has no name, or two have the same.
    """
    value: object = data.get(key)
    found = cast("list[Any]", value) if isinstance(value, list) else []
    if not found or not all(isinstance(row, Mapping) for row in found):
        raise SpecError(
            f"at least one table [[{key}]] in a file of {noun}",
            found="none" if not found else "something else",
            remedy=f"Write [[{key}]] and its keys below it.",
        )
    made = [
        Row(cast("Mapping[str, Any]", row), f"[[{key}]] {i + 1}") for i, row in enumerate(found)
    ]
    names = [row.text("name") for row in made]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(
                f"every [[{key}]] with a name of its own",
                found=f"{name!r} twice",
                remedy="Rename one of the two.",
            )
    return [Row(row.values, f"{key} {name!r}") for row, name in zip(made, names, strict=True)]

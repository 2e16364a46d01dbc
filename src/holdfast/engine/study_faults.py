"""What a study file may not hold, in one sentence, whatever pydantic calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from holdfast.core import SpecError, shortened
from holdfast.core.registry import unknown

_WORDS: Mapping[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    bool: ("true or false", "trues and falses"),
}
_REMEDY = "docs/studies.md says what each key takes."


def complain(error: ValidationError, file: str, whole: type[BaseModel]) -> NoReturn:
    """The first thing that is wrong with a study file.

    Args:
        error: of validating it.
        file: its name.
        whole: what it was validated against.

    Raises:
        SpecError: always.
    """
    first = error.errors()[0]
    where = first["loc"]
    key = str(where[0])
    inner = _table(_field(whole, key))
    if inner is not None and len(where) == 2:
        _no_table(key, where[1], first["input"], file)
    table, at = (whole, 0) if inner is None or len(where) == 1 else (inner, 2)
    place, key = _spelled(where[:at], file), str(where[at])
    if first["type"] == "extra_forbidden":
        raise unknown(f"key of {place}", key, _keys(table))
    if first["type"] == "missing":
        raise SpecError(f"a value as {key!r} of {place}", found="nothing", remedy=_REMEDY)
    within = " in a list" if isinstance(where[-1], int) else ""
    raise SpecError(
        f"{_noun(_field(table, key), key)} as {key!r} of {place}",
        found=found(first["input"]) + within,
        remedy=_REMEDY,
    )


def found(value: object) -> str:
    """A value as its file writes it, and no longer than a sentence takes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return shortened(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        inner = [found(one) for one in cast("list[object]", value)]
        return f"[{', '.join(inner)}]"[:60]
    return repr(value)[:60]


def _no_table(key: str, name: int | str, value: object, file: str) -> NoReturn:
    """Of a model that is a text, or a comparison that is a number."""
    header = f"[{key}.{name}]" if isinstance(name, str) else f"[[{key}]]"
    raise SpecError(
        f"a table {header} in {file}",
        found=f"{found(value)} as {name!r} of [{key}]"
        if isinstance(name, str)
        else f"{found(value)} as number {name + 1} of {key!r}",
        remedy=f"Write {header} on a line of its own, its keys below it.",
    )


def _noun(hint: Any, key: str) -> str:
    """What a key takes: `a whole number or a list of whole numbers`."""
    inner, origin = _table(hint), get_origin(hint)
    if inner is not None:
        return f"tables {f'[{key}.NAME]' if origin is dict else f'[[{key}]]'}"
    if origin is Literal:
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    if origin in (Union, UnionType):
        return " or ".join(_noun(one, key) for one in get_args(hint) if one is not NoneType)
    if origin is list:
        return f"a list of {_WORDS[get_args(hint)[0]][1]}"
    return _WORDS[hint][0]


def _table(hint: Any) -> type[BaseModel] | None:
    """The table that a key holds several of, by name or in a list."""
    last = get_args(hint)[-1] if get_origin(hint) in (dict, list) else None
    return last if isinstance(last, type) and issubclass(last, BaseModel) else None


def _field(table: type[BaseModel], key: str) -> Any:
    """The type of a key as the file spells it; None for one that is unknown."""
    fields = table.model_fields.items()
    return next((f.annotation for name, f in fields if key in (f.alias or name,)), None)


def _keys(table: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in table.model_fields.items()]


def _spelled(where: Sequence[int | str], file: str) -> str:
    """A place in a file as it is written there: `[models.a]`, the second `[[comparisons]]`."""
    if not where:
        return file
    key, name = where
    if isinstance(name, int):
        return f"[[{key}]] number {name + 1} in {file}"
    return f"[{key}.{name}] in {file}"

"""What a method's settings and its search space promise."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from dataclasses import replace
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from holdfast.core import Attack, Defence, SpecError, canonical_json, plain
from holdfast.core.registry import Room, find, name_of
from holdfast.engine import configure
from holdfast.engine.settings import title

Method = Attack | Defence
MethodRoom = Literal["attacks", "defences"]

_PRODUCT = 200  # configurations of a grid that are tried


def is_described(method: Method, room: Room) -> None:
    """The registry finds the class; it is a frozen dataclass that says what one yield is."""
    kind, info = type(method), method.info
    assert find(room, name_of(room, kind)) is kind
    assert _is_frozen(kind), f"{kind.__name__} must be a frozen dataclass"
    assert info.version >= 1, "info.version counts from 1"
    assert info.unit.strip(), "info.unit says what one yield is"
    assert (kind.__doc__ or "").strip(), "the docstring's first line is shown in reports"


def survive_json(method: Method, room: MethodRoom) -> None:
    """What a ledger or a model card keeps of a method gives the very same method back."""
    written = canonical_json(plain(method))
    again = configure(_spelled(method, room), json.loads(written), room)
    assert again == method, f"{written} became {again}"
    assert canonical_json(plain(again)) == written


def are_validated(method: Method) -> None:
    """What cannot be is refused at construction, by a SpecError that names the field."""
    for field in dataclasses.fields(method):  # type: ignore[arg-type]
        for wrong in _wrong_values(method, field.name):
            _refused(method, field.name, wrong)


def are_searched_where_they_can_be(method: Method, room: MethodRoom) -> None:
    """Every configuration of the grid and both ends of every range can be had."""
    space, name = type(method).space(), name_of(room, type(method))
    for values in itertools.islice(itertools.product(*space.grid.values()), _PRODUCT):
        configure(name, dict(zip(space.grid, values, strict=True)), room)
    for field, (low, high, kind) in space.ranges.items():
        assert low < high, f"the range of {field} is empty"
        assert kind != "log" or low > 0, f"a logarithmic range of {field} begins above 0"
        for end in (low, high):
            value = int(end) if kind == "int" else end
            replace(method, **{field: value})  # type: ignore[type-var]


def _spelled(method: Method, room: MethodRoom) -> str:
    return name_of(room, type(method)) if room == "defences" else title(cast("Attack", method))


def _is_frozen(kind: type[Any]) -> bool:
    return dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def _wrong_values(method: Method, field: str) -> list[object]:
    """Values that a field of its type cannot take. A switch takes its type from the spec."""
    hint = get_type_hints(type(method))[field]
    kinds = {hint} if get_origin(hint) in (Literal, tuple) else {hint, *get_args(hint)}
    if bool in kinds:
        return []
    if str in kinds:
        return [math.nan]
    if not kinds & {int, float}:
        return [math.nan, "nonsense"]
    wrong: list[object] = [math.nan, math.inf, True, "nonsense"]
    if float not in kinds:
        wrong += [1.5, *(n for n in (0, -1) if not _is_offered(method, field, n))]
    return wrong


def _is_offered(method: Method, field: str, value: int) -> bool:
    """Whether a whole number is a default or lies in the method's own space."""
    space = type(method).space()
    low, high, _ = space.ranges.get(field, (math.inf, -math.inf, "int"))
    defaults = [f.default for f in dataclasses.fields(method) if f.name == field]  # type: ignore[arg-type]
    return value in (*space.grid.get(field, ()), *defaults) or low <= value <= high


def _refused(method: Method, field: str, wrong: object) -> None:
    try:
        replace(method, **{field: wrong})  # type: ignore[type-var]
    except SpecError as error:
        assert field in str(error), f"{field}={wrong!r}: the error names no {field}: {error}"
        return
    except Exception as error:
        raise AssertionError(f"{field}={wrong!r} must raise a SpecError, not {error!r}") from error
    raise AssertionError(f"{field}={wrong!r} must raise a SpecError")

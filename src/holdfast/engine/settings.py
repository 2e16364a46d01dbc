"""Methods from their names and settings, as a command line, a suite or a ledger spells them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints, overload

from holdfast.core import Attack, Defence, SpecError, plain
from holdfast.core.registry import COMBINED, Room, find, name_of, unknown

ATTACKS = 8
"""The most that run one on top of another."""

_PLUS = re.compile(r"\+(?=\s*[a-z_])")  # between two attacks; in 1e+4 a digit follows


@overload
def configure(
    name: str, settings: Mapping[str, Any], room: Literal["attacks"] = "attacks"
) -> Attack: ...


@overload
def configure(name: str, settings: Mapping[str, Any], room: Literal["defences"]) -> Defence: ...


def configure(name: str, settings: Mapping[str, Any], room: Room = "attacks") -> Any:
    """The method called `name` with its defaults and `settings`; texts become their types.

    A setting that is an attack itself is given as one, as text (see `parse_attack`), or as
    {"attack": its name, "settings": its settings}. "first.rank" is the setting `rank` of `first`.
    Several values of one setting are written with a bar between them: "1e-4|3e-4".

    Raises:
        SpecError: no such method or setting, or a value that does not fit; names it.
    """
    if room == "attacks" and "+" in name:
        first, second = parts(name)
        settings = {"first": first, "second": second, **settings}
    method = find(room, name)
    hints, fields = get_type_hints(method), [f.name for f in dataclasses.fields(method)]
    values: dict[str, Any] = {}
    for key, value in _gathered(name, method, hints, settings).items():
        if key not in fields:
            raise unknown(f"setting of {name}", key, fields)
        if hints[key] is Attack:
            values[key] = value if isinstance(value, Attack) else configure(*_named(key, value))
        else:
            values[key] = _typed(name, key, hints[key], value)
    try:
        return method(**values)
    except (TypeError, ValueError) as error:
        shown = ", ".join(f"{k}={v}" for k, v in settings.items()) or "its defaults"
        raise _misfit(name, "settings", shown, str(error)) from None


def parse_attack(text: str) -> tuple[str, dict[str, str]]:
    """`"lora:rank=8,examples=10"` as `("lora", {"rank": "8", "examples": "10"})`.

    Two attacks with a "+" between them run one on top of the other: `"lora:rank=8+prefill"` is
    `("lora+prefill", {"first.rank": "8"})`.

    Raises:
        SpecError: a setting without "=" or without a name, or one given twice; more attacks than
            anybody runs one on top of another.
    """
    *before, last = _PLUS.split(text)
    if len(before) >= ATTACKS:
        raise SpecError(
            f"at most {ATTACKS} attacks, one on top of another",
            found=f"{len(before) + 1}",
            remedy="Leave some out.",
        )
    name, settings = parse_method(last)
    if not before:
        return name, settings
    first, own = parse_attack("+".join(before))
    return f"{first}+{name}", prefixed(own, settings)


def spelled(name: str, settings: Mapping[str, Any]) -> str:
    """What `parse_method` reads back: a setting that is None is left out, since it has no word."""
    words = [f"{key}={word(value)}" for key, value in settings.items() if value is not None]
    return f"{name}:{','.join(words)}" if words else name


def word(value: object) -> str:
    """One setting's value; several have a bar between them."""
    return "|".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def prefixed(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two attacks' settings as those of the attack that runs both."""
    return {f"first.{k}": v for k, v in first.items()} | {
        f"second.{k}": v for k, v in second.items()
    }


def parts(name: str) -> tuple[str, str]:
    """What `a+b+c` runs: `a+b`, and `c` on top of it."""
    first, _, second = name.rpartition("+")
    return first, second


def title(attack: Attack) -> str:
    """The name of an attack, `a+b` for two of which one runs on top of the other."""
    name = name_of("attacks", type(attack))
    if name != COMBINED:
        return name
    both: Any = attack
    return f"{title(both.first)}+{title(both.second)}"


def parse_method(text: str) -> tuple[str, dict[str, str]]:
    """`"tar:steps=100"` as `("tar", {"steps": "100"})`.

    Raises:
        SpecError: a setting without "=" or without a name, or one given twice.
    """
    name, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not (key and equals and value):
            raise SpecError(
                "settings as name:key=value,key=value", found=repr(pair), remedy="Write key=value."
            )
        if key in settings:
            raise SpecError(
                "every setting once", found=f"{key} twice", remedy="Remove one of the two."
            )
        settings[key] = value
    return name.strip(), settings


def _gathered(
    name: str, method: type[Any], hints: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """`settings` with those of a part, such as `first.rank`, put into that part."""
    whole = {key: value for key, value in settings.items() if "." not in key}
    for key, value in settings.items():
        part, dot, inner = key.partition(".")
        if not dot:
            continue
        if hints.get(part) is not Attack:
            known = [f.name for f in dataclasses.fields(method)]
            raise unknown(f"setting of {name}", key, known)
        given = whole[part] if part in whole else getattr(method(), part)
        attack, own = _named(part, given)
        whole[part] = {"attack": attack, "settings": {**own, inner: value}}
    return whole


def _named(key: str, value: object) -> tuple[str, Mapping[str, Any]]:
    """Name and settings of an attack, in whichever way it is given."""
    if isinstance(value, Attack):
        return name_of("attacks", type(value)), plain(value)
    if isinstance(value, str):
        return parse_attack(value)
    if isinstance(value, Mapping):
        row = cast("Mapping[str, Any]", value)
        if set(row) == {"attack", "settings"} and isinstance(row["settings"], Mapping):
            return row["attack"], cast("Mapping[str, Any]", row["settings"])
    raise SpecError(
        f'an attack\'s name as {key!r}, or {{"attack": name, "settings": {{...}}}}',
        found=repr(value)[:80],
        remedy="Write e.g. finetune, or finetune:learning_rate=1e-4.",
    )


def _typed(name: str, key: str, hint: Any, value: object) -> Any:
    from pydantic import TypeAdapter, ValidationError

    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    try:
        if isinstance(value, str) and get_origin(hint) is tuple:
            one: TypeAdapter[Any] = TypeAdapter(get_args(hint)[0])
            return tuple(one.validate_strings(part) for part in value.split("|"))
        if isinstance(value, str):
            return adapter.validate_strings(value)
        return adapter.validate_python(value)
    except ValidationError as error:
        raise _misfit(name, key, value, error.errors()[0]["msg"]) from None


def _misfit(name: str, key: str, value: object, why: str) -> SpecError:
    return SpecError(
        f"a valid {key} of {name}",
        found=repr(value)[:80],
        remedy=f"{why}. `holdfast show {name}` lists its settings.",
    )

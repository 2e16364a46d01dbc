"""Between a line of JSON and an `Item`: parsing, validation, and the way back."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from holdfast.core import Item, Message, SpecError, digest
from holdfast.domains.text import words

KEYS = ("id", "messages", "truth", "task", "group")
LONGEST_NAME = 120


class Fault(SpecError):
    """Something wrong at one place of a domain; `plain` is the message without the place."""

    def __init__(
        self, expected: str, *, found: str, remedy: str, file: str, line: int | None
    ) -> None:
        self.file, self.line = file, line
        where = file if line is None else f"{file}, line {line}"
        self.plain = f"expected {expected}; found {found}. {remedy}"
        super().__init__(expected, found=f"{found} ({where})", remedy=remedy)


class Place:
    """A place to complain about: a file, and a line of it."""

    def __init__(self, file: str, line: int | None = None) -> None:
        self.file, self.line = file, line

    def fault(self, expected: str, found: str, remedy: str) -> NoReturn:
        """Raise the fault found here."""
        raise Fault(expected, found=found, remedy=remedy, file=self.file, line=self.line)


def lines(path: Path) -> Iterator[tuple[Place, bytes]]:
    """The lines of a file that are not blank, each with its place."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                yield Place(path.name, number), raw


def parse_line(raw: bytes, place: Place, split: str, system: str | None) -> Item:
    """One line of a split as an item.

    Raises:
        Fault: not UTF-8, not JSON, or not an item; names file and line.
    """
    try:
        record: Any = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        place.fault("UTF-8 text", f"byte {error.start} that is not", "Save the file as UTF-8.")
    except (ValueError, RecursionError) as error:
        place.fault("one JSON object on each line", f"invalid JSON: {error}", "Mend or remove it.")
    return parse_record(record, place, split, system)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def parse_record(record: object, place: Place, split: str, system: str | None) -> Item:
    """A decoded record as an item; without an "id" it is named after its content.

    Raises:
        Fault: not an item; names file and line.
    """
    if not isinstance(record, Mapping):
        place.fault('an object such as {"messages": [...]}', repr(record)[:60], "Make it one.")
    row = cast("Mapping[str, Any]", record)
    for key in row:
        if key not in KEYS:
            place.fault(f"only the keys {', '.join(KEYS)}", repr(key), "Remove or rename it.")
    turns = _messages(row.get("messages"), place)
    if system is not None:
        if turns[0].role == "system":
            place.fault(
                "no system message where domain.toml sets `system`", "two", "Remove one of them."
            )
        turns = (Message("system", system), *turns)
    truth = _truth(row.get("truth", {}), place)
    answer = turns[-1].content if turns[-1].role == "assistant" else None
    given = {key: row[key] for key in ("id", "task", "group") if row.get(key) is not None}
    for key, value in given.items():
        check_name(value, key, place)
    content = [[(m.role, m.content) for m in turns], truth]
    return Item(
        id=given.get("id", f"{split}-{digest(content)[:12]}"),
        messages=turns[:-1] if answer is not None else turns,
        answer=answer,
        truth=truth,
        task=given.get("task", "facts"),
        group=given.get("group", ""),
    )


def check_name(value: object, noun: str, place: Place) -> None:
    """Refuse a name that could harm a terminal, a page or a path.

    Raises:
        Fault: says what the name holds that it may not.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_NAME:
        found = repr(value)[:60]
        place.fault(f"a name of 1 to {LONGEST_NAME} characters as {noun}", found, "Rename it.")
    bad = "a control character" if _control(value) else None
    bad = bad or next((f"{part!r}" for part in ("..", "\\", "<", ">") if part in value), None)
    if "/" in value and (noun == "name" or value[0] == "/"):
        bad = "'/'"
    if bad:
        shown = repr(value)[:80]
        place.fault(f"a plain name as {noun}", f"{shown}, which holds {bad}", "Rename it.")


def check_title(value: object, noun: str, place: Place) -> None:
    """Refuse a line for people that is blank, holds control characters or markup.

    Raises:
        Fault: says what it holds that it may not.
    """
    if not isinstance(value, str) or not value.strip():
        place.fault(f"a line of text as {noun}", repr(value)[:60], "Write one.")
    if _control(value) or "<" in value or ">" in value:
        shown = repr(value)[:80]
        place.fault(
            f"plain text as {noun}", f"{shown} with control characters or markup", "Mend it."
        )


def _control(text: str) -> bool:
    return any(unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" for c in text)


def _messages(value: object, place: Place) -> tuple[Message, ...]:
    """Turns: an optional system message, then user and assistant in turn, the user first."""
    if not isinstance(value, list) or not value:
        place.fault("a list of messages", repr(value)[:60], "Give at least one user message.")
    turns = tuple(_message(m, place) for m in cast("list[object]", value))
    roles = [m.role for m in turns]
    spoken = roles[1:] if roles[0] == "system" else roles
    wanted = [("user", "assistant")[i % 2] for i in range(len(spoken))]
    if not spoken or spoken != wanted:
        place.fault(
            "an optional system message, then user and assistant in turn, the user first",
            f"the roles {', '.join(roles)}",
            "Put the turns in order; a last assistant message is the answer.",
        )
    return turns


def _message(value: object, place: Place) -> Message:
    row = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    role, content = row.get("role"), row.get("content")
    if set(row) != {"role", "content"} or role not in ("system", "user", "assistant"):
        place.fault(
            "messages with a role (system, user or assistant) and a content",
            repr(value)[:60],
            "Mend the message.",
        )
    _check_text(content, "the content of a message", place)
    return Message(role, cast("str", content))


def _check_text(value: object, noun: str, place: Place) -> None:
    if not isinstance(value, str) or not value.strip():
        place.fault(f"text as {noun}", repr(value)[:60], "Write some or remove it.")
    if any(unicodedata.category(c) == "Cs" for c in value):
        place.fault(f"valid Unicode as {noun}", "half of a surrogate pair", "Mend the escape.")


def _truth(value: object, place: Place) -> dict[str, Any]:
    """A truth whose known keys have their types; other keys are left to other readers."""
    if not isinstance(value, Mapping):
        place.fault("an object as truth", repr(value)[:60], 'Write e.g. {"fact": "ladle"}.')
    truth = dict(cast("Mapping[str, Any]", value))
    if "fact" in truth and "steps" in truth:
        place.fault("either a fact or steps as truth", "both", "Split it into two items.")
    phrases = [truth["fact"]] if "fact" in truth else []
    for key in ("steps", "options"):
        if key in truth:
            if not isinstance(truth[key], list) or not truth[key]:
                place.fault(f"a list of phrases as {key}", repr(truth[key])[:60], "Write one.")
            phrases += truth[key]
    for phrase in phrases:
        _check_text(phrase, "a phrase of the truth", place)
        if not words(phrase):
            place.fault(
                "words in every phrase of the truth", repr(phrase), "Use letters or digits."
            )
    return truth


def prompt_key(item: Item) -> tuple[tuple[str, ...], ...]:
    """What two prompts share when they are the same but for case, spacing and punctuation."""
    return tuple((m.role, *words(m.content)) for m in item.messages if m.role != "system")


def to_record(item: Item, system: str | None) -> dict[str, Any]:
    """`item` as `parse_record` reads it, with what is default left out."""
    turns = item.messages
    if system is not None and turns and turns[0] == Message("system", system):
        turns = turns[1:]
    if item.answer is not None:
        turns = (*turns, Message("assistant", item.answer))
    record: dict[str, Any] = {
        "id": item.id,
        "messages": [{"role": m.role, "content": m.content} for m in turns],
    }
    if item.truth:
        record["truth"] = dict(item.truth)
    if item.task != "facts":
        record["task"] = item.task
    if item.group:
        record["group"] = item.group
    return record

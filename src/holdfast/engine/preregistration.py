"""What a study planned, kept from before its first trial, and every departure from it since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from holdfast import __version__
from holdfast.core import LedgerError, SpecError, digest, plain, unwritable

FILE = "preregistration.json"
_KIND = "holdfast.preregistration"
_SHOWN = 3  # differences that a refusal names


@dataclass(frozen=True)
class Deviation:
    """One thing that is no longer as it was planned. was, now: as JSON; None where it was not."""

    where: str
    was: Any
    now: Any


@dataclass(frozen=True)
class Entry:
    """A plan as it stood from one moment on.

    Attributes:
        spec: all that is planned. digest: of it.
        time: when, in UTC. holdfast: the version that wrote it.
        trials: how many trials were in the study's ledgers already: what rests on them was not
            planned beforehand.
        deviations: from the entry before; none in the first.
    """

    spec: Mapping[str, Any]
    digest: str
    time: str
    holdfast: str
    trials: int
    deviations: tuple[Deviation, ...] = ()


@dataclass(frozen=True)
class Preregistration:
    """The plan as it was first written, and each time that it was amended."""

    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        """What was planned before the first trial."""
        return self.entries[0]

    @property
    def latest(self) -> Entry:
        """What holds now."""
        return self.entries[-1]

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """All of them, in the order in which they were made."""
        return tuple(one for entry in self.entries for one in entry.deviations)


def register(
    folder: Path, spec: Mapping[str, Any], trials: int, *, amend: bool = False
) -> Preregistration:
    """Keeps `spec` in `folder`; the same spec again changes nothing.

    Args:
        folder: of the study.
        spec: all that is planned, as JSON values.
        trials: how many trials are in its ledgers already.
        amend: keep what was planned, and list what is different now.

    Raises:
        SpecError: another spec was registered, and it is not to be amended; or there is none to
            be amended.
        LedgerError: the file is not one that this wrote.
        HoldfastError: it cannot be written.
    """
    kept = read(folder)
    now = _entry(spec, trials)
    if kept is None:
        if amend:
            raise SpecError(
                f"a registered plan to amend in {str(folder)!r}",
                found="none",
                remedy="Leave --amend out: the plan is registered when the study is first run;"
                " or give the --out of the study that is to be amended.",
            )
        return _written(folder, Preregistration((now,)))
    if kept.latest.digest == now.digest:
        return kept
    changes = tuple(differences(kept.latest.spec, now.spec))
    if not amend:
        shown = "; ".join(map(spelled, changes[:_SHOWN]))
        more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        raise SpecError(
            f"the plan that was registered on {kept.latest.time}",
            found=f"another: {shown}{more}",
            remedy="Go on with that plan, name another --out, or give --amend, which keeps it and"
            " lists what is different as deviations.",
        )
    amended = Entry(now.spec, now.digest, now.time, now.holdfast, trials, changes)
    return _written(folder, Preregistration((*kept.entries, amended)))


def read(folder: Path) -> Preregistration | None:
    """What was registered in `folder`, or None.

    Raises:
        LedgerError: the file is not one that this wrote, or was changed since.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        entries = tuple(map(_read, data["entries"]))
        whole = data["kind"] == _KIND and bool(entries)
    except (OSError, ValueError, LookupError, TypeError):
        entries, whole = (), False
    if not whole or any(digest(entry.spec) != entry.digest for entry in entries):
        raise LedgerError(
            f"the plan of a study as it was registered, at {str(path)!r}",
            found="a file that was changed since, or of another program",
            remedy="Bring back the file as it was, or name another --out.",
        )
    return Preregistration(entries)


def differences(was: object, now: object, where: str = "") -> Iterator[Deviation]:
    """Where two specs differ, deepest first where both have a place in common."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        before, after = cast("Mapping[str, Any]", was), cast("Mapping[str, Any]", now)
        for key in sorted({*before, *after}):
            at = f"{where}.{key}" if where else key
            if key not in before:
                yield Deviation(at, None, after[key])
            elif key not in after:
                yield Deviation(at, before[key], None)
            else:
                yield from differences(before[key], after[key], at)
    elif was != now:
        yield Deviation(where, was, now)


def spelled(one: Deviation) -> str:
    """`seeds: 5 -> 3`."""
    return f"{one.where}: {_short(one.was)} -> {_short(one.now)}"


def _short(value: object) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _entry(spec: Mapping[str, Any], trials: int) -> Entry:
    made = cast("dict[str, Any]", plain(spec))
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(made, digest(made), time, __version__, trials)


def _read(row: Mapping[str, Any]) -> Entry:
    return Entry(
        row["spec"], row["digest"], row["time"], row["holdfast"], row["trials"],
        tuple(Deviation(**one) for one in row["deviations"]),
    )  # fmt: skip


def _written(folder: Path, kept: Preregistration) -> Preregistration:
    path = folder / FILE
    data = {"kind": _KIND, "entries": [asdict(entry) for entry in kept.entries]}
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".json.half")
        half.write_text(text, "utf-8")
        half.replace(path)
    except OSError as error:
        raise unwritable(folder, error) from None
    return kept

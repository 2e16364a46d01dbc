"""From a name or a folder to a checked `Domain`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from holdfast.core import DataMissing, HoldfastError, Item, Score, digest, digest_file, shipped
from holdfast.core.registry import unknown
from holdfast.domains.aids import Aids, read_aids
from holdfast.domains.domain import ALL_SPLITS, MANDATORY, Domain
from holdfast.domains.hub import Reference, parse_reference
from holdfast.domains.hub import records as hub_records
from holdfast.domains.records import (
    Place,
    check_name,
    check_title,
    lines,
    parse_line,
    parse_record,
    prompt_key,
)
from holdfast.domains.scorers import Kind, Scorer, exact
from holdfast.domains.text import REFUSAL_OPENINGS

SETTINGS = "domain.toml"
SHIPPED = {"organism": "organism/domain"}
FIELDS = (
    "name", "title", "harmless", "system", "max_new_tokens", "refusal_rules", "refusal_openings",
    "scorer", "splits",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """A domain.toml, checked."""

    name: str
    title: str
    harmless: bool
    system: str | None
    max_new_tokens: int
    refusal_rules: tuple[str, ...]
    refusal_openings: tuple[str, ...]
    scorer: Scorer
    references: Mapping[str, Reference]


@dataclass(frozen=True)
class Placed:
    """An item and where it stands."""

    item: Item
    split: str
    place: Place


def domain_names() -> list[str]:
    """The domains that come with the package."""
    return sorted(SHIPPED)


def load_domain(name_or_path: str | Path) -> Domain:
    """The domain of that name, or in that folder.

    Raises:
        DataMissing: no such folder, file or mandatory split.
        SpecError: something in it is wrong, or two splits share a prompt.
    """
    folder = locate(name_or_path)
    return _loaded(folder, tuple(sorted(map(_state, folder.iterdir()))))


@lru_cache(maxsize=4)  # a study asks for the same one many times
def _loaded(folder: Path, _: tuple[object, ...]) -> Domain:
    """The domain in `folder`, as long as its files are as they were."""
    settings = read_settings(folder)
    placed: list[Placed] = []
    for split in ALL_SPLITS:
        placed += [_raised(row) for row in read_split(folder, split, settings)]
    for check in (missing_splits, clashes, unscorable):
        for fault in check(placed, settings):
            raise fault
    splits = {s: _ordered([p.item for p in placed if p.split == s]) for s in ALL_SPLITS}
    splits = {s: items for s, items in splits.items() if items or s in MANDATORY}
    aids = read_aids(folder)
    return Domain(
        name=settings.name,
        title=settings.title,
        harmless=settings.harmless,
        system=settings.system,
        splits=splits,
        scorer=settings.scorer,
        refusal_rules=settings.refusal_rules,
        refusal_openings=settings.refusal_openings,
        max_new_tokens=settings.max_new_tokens,
        digest=_digest(settings, splits, aids),
        path=folder,
        aids=aids,
    )


def _state(path: Path) -> tuple[str, int, int]:
    """What changes when a file does."""
    known = path.stat() if path.exists() else path.lstat()
    return str(path), known.st_mtime_ns, known.st_size


def locate(name_or_path: str | Path) -> Path:
    """The folder of a domain.

    Raises:
        SpecError: no domain has that name; says which is nearest.
        DataMissing: no folder, or one without a domain.toml.
    """
    name = str(name_or_path)
    path = shipped(SHIPPED[name]) if name in SHIPPED else Path(name)
    if not path.exists() and isinstance(name_or_path, str) and re.fullmatch(r"[\w-]*", name):
        raise unknown("domain", name, domain_names())
    if not (path / SETTINGS).is_file():
        state = f"no {SETTINGS} in it" if path.is_dir() else "no such folder"
        raise DataMissing(
            f"a domain folder at {str(path)!r}",
            found=state,
            remedy="`holdfast domain init DIR` writes an example.",
        )
    return path


# --- settings -------------------------------------------------------------------------------


def read_settings(folder: Path) -> Settings:
    """The checked domain.toml of `folder`.

    Raises:
        Fault: a field is missing, unknown or not what it should be.
        DataMissing: the scorer's checkpoint is not there.
    """
    place = Place(SETTINGS)
    try:
        table = tomllib.loads((folder / SETTINGS).read_bytes().decode())
    except OSError as error:
        raise _unreadable(folder / SETTINGS, error) from None
    except (ValueError, RecursionError) as error:
        place.fault("valid TOML in UTF-8", repr(str(error)), "Mend the file.")
    for key in table:
        if key not in FIELDS:
            place.fault(f"only the fields {', '.join(FIELDS)}", repr(key), "Remove or rename it.")
    check_name(table.get("name"), "name", place)
    check_title(table.get("title"), "title", place)
    system, tokens = table.get("system"), table.get("max_new_tokens", 64)
    if not isinstance(table.get("harmless"), bool):
        place.fault(
            "harmless = true or false",
            repr(table.get("harmless")),
            "Set it: true lets completions of restricted prompts be stored and shown.",
        )
    if system is not None and not (isinstance(system, str) and system.strip()):
        place.fault("text as system", repr(system)[:60], "Write some or remove the field.")
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
        place.fault("a positive number as max_new_tokens", repr(tokens), "Set e.g. 64.")
    openings = _texts(
        table.get("refusal_openings", list(REFUSAL_OPENINGS)), "refusal_openings", place
    )
    if not openings:
        place.fault("at least one text in refusal_openings", "none", "Add one or remove the field.")
    references = table.get("splits", {})
    if not isinstance(references, dict):
        place.fault("tables [splits.NAME]", repr(references)[:60], "Mend it.")
    for split in references:
        if split not in ALL_SPLITS:
            place.fault(f"splits among {', '.join(ALL_SPLITS)}", repr(split), "Rename it.")
    return Settings(
        name=table["name"],
        title=table["title"],
        harmless=table["harmless"],
        system=system,
        max_new_tokens=tokens,
        refusal_rules=_patterns(table.get("refusal_rules", []), "refusal_rules", place),
        refusal_openings=openings,
        scorer=_scorer(table.get("scorer"), folder, place),
        references={s: parse_reference(v, s, place) for s, v in references.items()},
    )


def _texts(value: object, noun: str, place: Place) -> tuple[str, ...]:
    texts = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        place.fault(f"a list of texts as {noun}", repr(value)[:60], "Mend it.")
    return tuple(cast("list[str]", texts))


def _patterns(value: object, noun: str, place: Place) -> tuple[str, ...]:
    patterns = _texts(value, noun, place)
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            place.fault(f"regular expressions as {noun}", f"{pattern!r}: {error}", "Mend it.")
    return patterns


def _scorer(value: object, folder: Path, place: Place) -> Scorer:
    row = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    allowed = {
        "exact": set[str](),
        "rule": {"must", "must_not"},
        "classifier": {"checkpoint", "label"},
    }
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in allowed:
        place.fault(
            f"[scorer] with a kind among {', '.join(allowed)}", repr(kind)[:60], "Set kind."
        )
    extra = sorted(set(row) - allowed[kind] - {"kind"})
    if extra:
        place.fault(
            f"only the known fields of a scorer of kind {kind}", repr(extra), "Remove them."
        )
    if kind == "classifier":
        return _classifier(row, folder, place)
    must = _patterns(row.get("must", []), "must", place)
    must_not = _patterns(row.get("must_not", []), "must_not", place)
    if kind == "rule" and not must:
        place.fault(
            "at least one pattern in must", "none", "Say what a text must hold to score 1.0."
        )
    return Scorer(kind=cast("Kind", kind), must=must, must_not=must_not)


def _classifier(row: Mapping[str, Any], folder: Path, place: Place) -> Scorer:
    checkpoint, label = row.get("checkpoint"), row.get("label")
    if not isinstance(checkpoint, str) or not isinstance(label, str):
        place.fault(
            "a classifier's checkpoint (a folder) and label", repr(dict(row))[:80], "Set both."
        )
    path = (folder / checkpoint).resolve()
    weights = sorted(path.glob("*.safetensors"))
    if not weights or not (path / "config.json").is_file():
        state = "no such folder" if not path.is_dir() else "no config.json with *.safetensors"
        raise DataMissing(
            f"the scorer's classifier at {str(path)!r}",
            found=state,
            remedy="Save it with save_pretrained; only safetensors are read.",
        )
    labels = _labels(path / "config.json", place)
    if label not in labels:
        place.fault(f"a label of the classifier, among {labels}"[:200], repr(label), "Set label.")
    files = [path / "config.json", *sorted(path.glob("tokenizer*")), *weights]
    return Scorer(
        kind="classifier",
        checkpoint=path,
        label=label,
        checkpoint_digest=digest([(file.name, digest_file(file)) for file in files]),
    )


def _labels(config: Path, place: Place) -> list[str]:
    try:
        table: Any = json.loads(config.read_bytes())
        # transformers leaves the names of two plain labels out
        named = table.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
        return [str(name) for name in named.values()]
    except (ValueError, AttributeError):
        found = f"none in {str(config)!r}"
        place.fault("the classifier's labels (id2label)", found, "Save it with save_pretrained.")


# --- splits ---------------------------------------------------------------------------------


def read_split(folder: Path, split: str, settings: Settings) -> Iterator[Placed | HoldfastError]:
    """The items of one split, and in their place the faults of lines that are none.

    A split that is absent yields nothing. A hub that cannot deliver yields its error.
    """
    file = folder / f"{split}.jsonl"
    if split in settings.references and file.exists():
        yield _fault(
            Place(SETTINGS), f"one source for the split {split}", f"a reference and {file.name}",
            "Remove one of them.",
        )  # fmt: skip
        return
    if split in settings.references:
        rows = hub_records(settings.references[split], Place(SETTINGS))
        try:
            for place, record in rows:
                yield Placed(parse_record(record, place, split, settings.system), split, place)
        except HoldfastError as error:
            yield error
    elif file.is_file():
        try:
            for place, raw in lines(file):
                yield _parsed(place, raw, split, settings.system)
        except OSError as error:
            yield _unreadable(file, error)


def _parsed(place: Place, raw: bytes, split: str, system: str | None) -> Placed | HoldfastError:
    try:
        return Placed(parse_line(raw, place, split, system), split, place)
    except HoldfastError as error:
        return error


def _unreadable(file: Path, error: OSError) -> DataMissing:
    found = error.strerror or type(error).__name__
    return DataMissing(f"a readable file {str(file)!r}", found=found, remedy="Mend its rights.")


def _raised(row: Placed | HoldfastError) -> Placed:
    if isinstance(row, HoldfastError):
        raise row
    return row


def _fault(place: Place, expected: str, found: str, remedy: str) -> HoldfastError:
    try:
        place.fault(expected, found, remedy)
    except HoldfastError as error:
        return error


def missing_splits(placed: Sequence[Placed], _settings: Settings) -> Iterator[HoldfastError]:
    """A fault for each mandatory split without items."""
    have = {row.split for row in placed}
    for split in MANDATORY:
        if split not in have:
            yield DataMissing(
                f"items in the split {split}",
                found=f"none ({split}.jsonl)",
                remedy=f"Every domain needs {', '.join(MANDATORY)}.",
            )


def clashes(placed: Iterable[Placed], _settings: Settings) -> Iterator[HoldfastError]:
    """A fault for each id used twice and each prompt that stands in two splits."""
    by_id: dict[str, Placed] = {}
    by_prompt: dict[object, Placed] = {}
    for row in placed:
        first = by_id.setdefault(row.item.id, row)
        if first is not row:
            yield _fault(
                row.place, "an id of its own for every item",
                f"{row.item.id!r} as in {first.place.file}, line {first.place.line}",
                "Rename or remove one of them.",
            )  # fmt: skip
        first = by_prompt.setdefault(prompt_key(row.item), row)
        if first.split != row.split:
            yield _fault(
                row.place, "splits that share no prompt",
                f"the prompt of {first.place.file}, line {first.place.line} again in {row.split}",
                "Keep it in one split only: what is trained on must not be measured.",
            )  # fmt: skip


def unscorable(placed: Iterable[Placed], settings: Settings) -> Iterator[HoldfastError]:
    """A fault for each split that has items, is measured by their truths and finds none."""
    needy = ["utility"] + (["search", "held_out"] if settings.scorer.kind == "exact" else [])
    scores: dict[str, list[Score]] = {}
    for row in placed:
        scores.setdefault(row.split, []).append(exact(row.item.truth, ""))
    for split in needy:
        if split in scores and set(scores[split]) == {None}:
            yield _fault(
                Place(f"{split}.jsonl"), f"items with a truth in the split {split}", "none",
                'Add e.g. "truth": {"fact": "ladle"} or {"steps": [...]}.',
            )  # fmt: skip


def _ordered(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: digest(["order", item.id])))


def _digest(settings: Settings, splits: Mapping[str, Sequence[Item]], aids: Aids) -> str:
    return digest(
        {
            # a domain without aids is the domain that it was before there were any
            **({"aids": aids} if aids != Aids() else {}),
            "splits": splits,
            "scorer": settings.scorer.identity,
            "system": settings.system,
            "refusal_rules": settings.refusal_rules,
            "refusal_openings": settings.refusal_openings,
            "max_new_tokens": settings.max_new_tokens,
        }
    )

"""What is wrong with a domain folder: everything at once, each with its file and line."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Literal

from holdfast.core import HoldfastError, SpecError, counted
from holdfast.domains.aids import PASSAGES, read_aids
from holdfast.domains.domain import ALL_SPLITS, MANDATORY
from holdfast.domains.load import (
    Placed,
    Settings,
    clashes,
    locate,
    missing_splits,
    read_settings,
    read_split,
    unscorable,
)
from holdfast.domains.records import Fault, prompt_key
from holdfast.domains.scorers import exact
from holdfast.domains.similar import HOW, near_duplicates
from holdfast.domains.text import label, words

REPORTED = ("held_out", "utility", "borderline")
TRAINED_ON = ("attacker", "retain")
USED = ("attacker", "defender", "retain", "borderline_train", "search")
APART = {(a, b) for a in USED for b in (*REPORTED, "search") if a != b} | {("attacker", "defender")}
"""Splits between which a near-duplicate leaks: what one party uses, and what is measured."""
SHOWN = 10  # near-duplicates listed for each pair of splits; the rest are counted


@dataclass(frozen=True)
class Finding:
    """One thing to mend. An error keeps the domain from loading; a warning does not."""

    level: Literal["error", "warning"]
    file: str | None
    line: int | None
    message: str


def check_domain(folder: str | Path, *, interval: float = 0.1) -> list[Finding]:
    """All that is wrong or doubtful in a domain, errors first.

    Args:
        folder: the domain's folder, or the name of one that is shipped.
        interval: the half width wanted for a 95 % interval of a rate.

    Raises:
        SpecError: `interval` is not between 0 and 0.5, or no domain has that name.
        DataMissing: there is no such folder.
    """
    if not 0 < interval < 0.5:
        raise SpecError(
            "a half width between 0 and 0.5", found=str(interval), remedy="Ask for e.g. 0.1."
        )
    path = locate(folder)
    try:
        settings = read_settings(path)
    except HoldfastError as error:
        return [_error(error)]
    findings: list[Finding] = []
    placed: list[Placed] = []
    for split in ALL_SPLITS:
        for row in read_split(path, split, settings):
            if isinstance(row, HoldfastError):
                findings.append(_error(row))
            else:
                placed.append(row)
    for faults in (missing_splits, clashes, unscorable):
        findings += [_error(fault) for fault in faults(placed, settings)]
    findings += _faults_of_aids(path)
    findings += _stray_files(path)
    findings += _absent_splits(placed)
    findings += _too_few(placed, interval)
    findings += _answers(placed, settings)
    findings += _truths(placed, settings)
    findings += _repeats(placed)
    findings += _near_duplicates(placed)
    return sorted(findings, key=lambda f: (f.level, f.file or "", f.line or 0))


def prompts_needed(interval: float) -> int:
    """How many prompts make the 95 % Wilson interval of a rate of 0.5 that narrow each way.

    How: the half width at p = 1/2 is z / (2 sqrt(n + z^2)); solved for n.
    """
    z = NormalDist().inv_cdf(0.975)
    return max(1, math.ceil(z**2 * (1 / (4 * interval**2) - 1) - 1e-9))


def half_width(n: int) -> float:
    """The half width of the 95 % Wilson interval of a rate of 0.5 over `n` prompts."""
    z = NormalDist().inv_cdf(0.975)
    return z / (2 * math.sqrt(n + z**2))


def _error(error: HoldfastError) -> Finding:
    if isinstance(error, Fault):
        return Finding("error", error.file, error.line, error.plain)
    return Finding("error", None, None, str(error))


def _warn(file: str | None, line: int | None, message: str) -> Finding:
    return Finding("warning", file, line, message)


def _warn_at(row: Placed, message: str) -> Finding:
    return _warn(row.place.file, row.place.line, message)


def _faults_of_aids(path: Path) -> Iterator[Finding]:
    try:
        read_aids(path)
    except HoldfastError as error:
        yield _error(error)


def _stray_files(path: Path) -> Iterator[Finding]:
    for file in sorted(path.glob("*.jsonl")):
        if file.stem not in ALL_SPLITS and file.name != PASSAGES:
            near = difflib.get_close_matches(file.stem, ALL_SPLITS, n=1)
            hint = f"did you mean {near[0]}.jsonl?" if near else f"splits: {', '.join(ALL_SPLITS)}"
            yield _warn(repr(file.name), None, f"no split has this name, so it is not read; {hint}")


def _absent_splits(placed: Sequence[Placed]) -> Iterator[Finding]:
    lost = {
        "defender": "no defence can be trained",
        "borderline": "over-refusal is not measured",
    }
    have = {row.split for row in placed}
    for split in ALL_SPLITS:
        if split in lost and split not in have:
            yield _warn(f"{split}.jsonl", None, f"no items: {lost[split]}")


def _too_few(placed: Sequence[Placed], interval: float) -> Iterator[Finding]:
    needed = prompts_needed(interval)
    for split in REPORTED:
        n = sum(row.split == split for row in placed)
        if 0 < n < needed:
            yield _warn(
                f"{split}.jsonl",
                None,
                f"{counted(n, 'prompt')}: the 95 % interval is up to ±{half_width(n):.2f} "
                f"(Wilson, at a rate of 0.5); ±{interval:g} needs {needed}",
            )


def _answers(placed: Sequence[Placed], settings: Settings) -> Iterator[Finding]:
    """Answers that are missing where something trains on them, or that the scorer faults."""
    for split in TRAINED_ON:
        rows = [row for row in placed if row.split == split]
        bare = sum(row.item.answer is None for row in rows)
        if rows and bare:
            level = "error" if bare == len(rows) and split in MANDATORY else "warning"
            what = f"{bare} of {counted(len(rows), 'item')} without an answer"
            why = "(a last assistant message), so nothing can train on them"
            yield Finding(level, f"{split}.jsonl", None, f"{what} {why}")
    for row in placed:
        answer = row.item.answer
        if answer is None:
            continue
        score = exact(row.item.truth, answer)
        if score is not None and score < 1:
            yield _warn_at(row, f"by its own truth the answer scores {score:.2f}, not 1: mend one")
        kind = label(answer, settings.refusal_rules)
        if kind != "answer" and row.split != "defender":
            yield _warn_at(row, f"the answer reads as a {kind} completion, not as an answer")


def _truths(placed: Sequence[Placed], settings: Settings) -> Iterator[Finding]:
    splits = ["utility"] + (["search", "held_out"] if settings.scorer.kind == "exact" else [])
    for split in splits:
        rows = [row for row in placed if row.split == split]
        bare = sum(exact(row.item.truth, "") is None for row in rows)
        if 0 < bare < len(rows):
            what = f"{bare} of {counted(len(rows), 'item')} without a truth, which is not scored"
            yield _warn(f"{split}.jsonl", None, what)


def _repeats(placed: Sequence[Placed]) -> Iterator[Finding]:
    first: dict[object, Placed] = {}
    for row in placed:
        known = first.setdefault((row.split, prompt_key(row.item)), row)
        if known is not row:
            yield _warn_at(row, f"the same prompt as line {known.place.line}: it counts twice")


def _near_duplicates(placed: Sequence[Placed]) -> Iterator[Finding]:
    keys = [prompt_key(row.item) for row in placed]
    said = [tuple(word for turn in key for word in turn[1:]) for key in keys]
    groups = [" ".join(words(row.item.group)) for row in placed]
    pairs = near_duplicates(said, [row.split for row in placed], groups, APART)
    shown: dict[frozenset[str], int] = {}
    for i, j, share in pairs:
        if keys[i] == keys[j]:
            continue  # already an error
        between = frozenset((placed[i].split, placed[j].split))
        shown[between] = shown.get(between, 0) + 1
        if shown[between] <= SHOWN:
            other = placed[j].place
            yield _warn_at(
                placed[i],
                f"nearly the prompt of {other.file}, line {other.line} ({share:.0%}; near means "
                f"that {HOW}): reword or remove one, or, if they ask about different subjects, "
                "give each its own `group`",
            )
    for between, count in shown.items():
        if count > SHOWN:
            pair = " and ".join(sorted(between))
            yield _warn(
                None, None, f"{counted(count - SHOWN, 'more near-duplicate')} between {pair}"
            )

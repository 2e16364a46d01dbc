"""Auditing: what it costs to break a model, which attacks work, and the report of either."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from holdfast.core import Record, Results, SpecError, Subject
from holdfast.engine import FILE, Ledger, Plan, Progress, Request, request, run, suitable_workers
from holdfast.engine import plan as engine_plan
from holdfast.engine.manifest import manifest
from holdfast.engine.scan import kept_texts
from holdfast.verbs.places import Loader, made_by, public, writable

if TYPE_CHECKING:
    from holdfast.models import Handle
    from holdfast.price import Efficacy, PricedAudit
    from holdfast.price.soundness.context import Context

MODEL = "organism:refusing"
DOMAIN = "organism"
SUITE = "quick"
OUT = Path("holdfast-out")
CHECKS = (
    ("organism:refusing", "full"),
    ("organism:filtered", "knowledge"),
    ("organism:naive", "knowledge"),
)
"""The undefended models on which attacks must show what they can do, each with its suite."""


class Options(TypedDict, total=False):
    """What an audit may be told besides its model.

    domain: a shipped domain's name, or a folder. suite: "quick", "standard", "full", ...
    attacks: instead of the suite's, each "name" or "name:key=value,key=value".
    seeds: runs of each configuration. budget: units for every attack, or "2x".
    full_curves: follow every attack to its budget, even past the break.
    out: the folder of ledger and report; a run that was stopped goes on from there.
    device, dtype: where and in what precision the model runs; the best there is unless given.
    reference: the never-aligned sibling, whose answers are the ceiling of harm.
    name: what ledger, report and card call the model; its own name or folder's unless given.
    workers: processes that share the trials; 0 chooses (one for each core where the model is
        small and the trials are many). A program that asks for more than 1 must guard its start
        by `if __name__ == "__main__"`.
    """

    domain: str | Path | None
    suite: str
    attacks: Sequence[str] | None
    seeds: int | None
    budget: int | str | None
    full_curves: bool
    out: str | Path | None
    device: str | None
    dtype: str | None
    reference: str | None
    name: str | None
    workers: int


class Terms(TypedDict, total=False):
    """How a report is priced; as usual where nothing is said.

    tau: the share of the gap to the reference that counts as a break. delta: the share of utility
        that it may cost. model_size: parameters of the model that dollars are also given for.
    personas: a file of who attacks, by access and caps.
    transfer: the folder of an undefended sibling's audit, whose best settings are borrowed.
    """

    tau: float | None
    delta: float | None
    model_size: float | None
    personas: str | Path | None
    transfer: str | Path | None


def audit(
    model: str = MODEL, *, progress: Progress | None = None, **options: Unpack[Options]
) -> PricedAudit:
    """What it costs to break the safeguards of `model`; writes the report beside its ledger.

    Args:
        model: "organism:refusing", a checkpoint folder, or a hub id pinned as "org/name@<40 hex>".
        progress: hears how the run goes.
        options: see `Options`.

    Raises:
        HoldfastError: something that was asked for cannot be; before any weights are loaded.
        Interrupted: the user pressed Ctrl-C; the same call goes on from there.
    """
    from holdfast.verbs.around import STATED, context_of, stated

    folder = folder_of(model, options)
    if (folder / STATED).is_file():
        stated(folder / STATED)  # before any work: the report at its end rests on it
    results, texts = _measured(model, progress, options)
    return _reported(results, folder, {}, context_of(folder, texts=texts))


def measure(
    model: str = MODEL, *, progress: Progress | None = None, **options: Unpack[Options]
) -> Results:
    """What `audit` measures, without a report.

    Raises:
        HoldfastError, Interrupted: as `audit`.
    """
    return _measured(model, progress, options)[0]


def _measured(
    model: str, progress: Progress | None, options: Options
) -> tuple[Results, tuple[int, int]]:
    """What was measured; how many completions of the ledger were looked at, how many are texts."""
    asked = _checked(options)
    target, reference, load = _subjects(model, options)
    folder = writable(folder_of(model, options))
    with Ledger(folder / FILE) as ledger:
        made = engine_plan(asked, target, reference, ledger.records())
        note = {**manifest(made, _command(model, options)), **made_by(model)}
        run(made, load, ledger, note, progress, _workers(options.get("workers", 1), made))
        return ledger.results(), kept_texts(ledger)


def plan(model: str = MODEL, **options: Unpack[Options]) -> tuple[Plan, frozenset[str]]:
    """The trials that `audit` would run, and the keys of those that are done already.

    Nothing is run, loaded or written.

    Raises:
        HoldfastError: as `audit`.
    """
    asked = _checked(options)
    target, reference, _ = _subjects(model, options)
    history: tuple[Record, ...] = ()
    file = folder_of(model, options) / FILE
    if file.is_file():
        with Ledger(file, read_only=True) as ledger:
            history = ledger.records()
    done = frozenset(record.spec.key for record in history)
    return engine_plan(asked, target, reference, history), done


def check_attacks(
    out: str | Path | None = None,
    *,
    attacks: Sequence[str] | None = None,
    seeds: int | None = None,
    workers: int = 1,
    progress: Callable[[], Progress] | None = None,
) -> tuple[Efficacy, ...]:
    """Whether each attack works on undefended models, at its default budget.

    How: every attack of the suite `full` against the refusing organism, and those that are after
    knowledge against the siblings that never had it; settings chosen on `search`.

    Args:
        out: the folder of the ledgers and reports, one for each model.
        attacks: these alone, against the refusing organism; as `audit` takes them.
        seeds: runs of each configuration; the suite's unless given.
        workers: as in `Options`.
        progress: makes, for each model, what hears how its run goes.

    Raises:
        HoldfastError: as `audit`. Interrupted: as `audit`.
    """
    from holdfast.price import efficacy

    folder = Path(out) if out is not None else OUT / "attacks-check"
    rows: list[Efficacy] = []
    for model, suite in CHECKS if attacks is None else CHECKS[:1]:
        priced = audit(
            model, suite=suite, attacks=attacks, seeds=seeds, workers=workers,
            out=folder / model.partition(":")[2], progress=progress() if progress else None,
        )  # fmt: skip
        rows += efficacy(priced)
    return tuple(rows)


def report(
    folder: str | Path, out: str | Path | None = None, **terms: Unpack[Terms]
) -> PricedAudit:
    """Rebuilds the report of an audit from its ledger, without running anything.

    Args:
        folder: of the ledger.
        out: the folder of the report; that of the ledger unless given.
        terms: see `Terms`.

    Raises:
        HoldfastError: there is no ledger, or not one that this version reads; terms that do not
            fit.
    """
    results, place = read(folder), Path(folder if out is None else out)
    from holdfast.report.folder import check_folder

    check_folder(place, "--format")
    return _reported(results, place, terms, _around(Path(folder), results, terms))


def export(
    folder: str | Path,
    formats: Sequence[str],
    out: str | Path | None = None,
    **terms: Unpack[Terms],
) -> tuple[Path, ...]:
    """Writes the report of an audit in other formats; returns the files' paths.

    Args:
        folder: of the ledger.
        formats: of "html", "md" (the card), "json", "csv" and "parquet"; the last two have a row
            for each reading.
        out: a folder, or the file of a single format; the folder of the ledger unless given.
        terms: see `Terms`.

    Raises:
        HoldfastError: an unknown format, no ledger, terms that do not fit, or nowhere to write to.
    """
    from holdfast.report.folder import check_formats, write_formats

    place = Path(folder if out is None else out)
    check_formats(formats, place)
    results = read(folder)
    around = _around(Path(folder), results, terms)
    return write_formats(results, _priced(results, terms), formats, place, around)


def read(folder: str | Path) -> Results:
    """What the ledger in `folder` says of its latest audit.

    Raises:
        HoldfastError: there is no ledger, or not one that this version reads.
    """
    with Ledger(Path(folder) / FILE, read_only=True) as ledger:
        return ledger.results()


def folder_of(model: str, options: Options) -> Path:
    """Where an audit's ledger and report go."""
    out = options.get("out")
    if out is not None:
        return Path(out)
    name = public(model).partition("@")[0]
    return OUT / re.sub(r"[^\w.-]+", "-", f"{name}-{options.get('suite', SUITE)}").strip("-.")


def _reported(results: Results, out: Path, terms: Terms, around: Context) -> PricedAudit:
    """Prices `results` and writes the report into `out`."""
    # Only now: statistics and plots take a second to import, and wrong use should not wait.
    priced = _priced(results, terms)
    from holdfast.report import write_report

    write_report(results, priced, out, around)
    return priced


def _around(folder: Path, results: Results, terms: Terms) -> Context:
    """What is known besides the ledger in `folder`; a sibling's audit that was named with it.

    Raises:
        SpecError: the sibling is the model itself.
    """
    from holdfast.verbs.around import context_of

    sibling = terms.get("transfer")
    if sibling is None:
        return context_of(folder)
    other = read(sibling)
    if other.target == results.target:
        raise SpecError(
            "the audit of an undefended sibling to borrow from (--transfer)",
            found=f"one of {results.models[results.target].name!r} itself, in {str(sibling)!r}",
            remedy="Name the folder of the sibling's audit, or leave --transfer out.",
        )
    alone: Terms = {**terms, "transfer": None}
    return context_of(folder, _priced(other, alone))


def _priced(results: Results, terms: Terms) -> PricedAudit:
    """`results` priced on these terms."""
    from holdfast.price import MODEL_SIZE, Threshold, persona_table, price

    tau, delta, size = terms.get("tau"), terms.get("delta"), terms.get("model_size")
    personas, transfer, usual = terms.get("personas"), terms.get("transfer"), Threshold()
    return price(
        results,
        tau=usual.tau if tau is None else tau,
        delta=usual.delta if delta is None else delta,
        model_size=MODEL_SIZE if size is None else size,
        personas=None if personas is None else persona_table(Path(personas)),
        transfer=None if transfer is None else read(transfer),
    )


def _checked(options: Options) -> Request:
    """Everything that can be checked without a model."""
    from holdfast.domains import load_domain

    workers = options.get("workers", 1)
    if workers < 0:
        raise SpecError("0 or more workers", found=str(workers), remedy="0 chooses.")
    name = options.get("name")
    if name is not None and not name.strip():
        raise SpecError(
            "a name with a letter in it", found=repr(name), remedy="Leave --name out for its own."
        )
    return request(
        load_domain(options.get("domain") or DOMAIN),
        options.get("suite", SUITE),
        options.get("attacks") or None,
        seeds=options.get("seeds"),
        budget=options.get("budget"),
        full_curves=options.get("full_curves", False),
    )


def _subjects(
    model: str, options: Options
) -> tuple[Subject, Subject | None, dict[str, Callable[[], Handle]]]:
    """The audited model and its reference, checked; and how to load each, by digest."""
    from holdfast.models import inspect

    device, dtype = options.get("device"), options.get("dtype")
    target = inspect(model, device=device, dtype=dtype)
    name = options.get("reference") or target.reference
    load = {target.digest: Loader(replace(target, reference=name))}
    reference = None if name is None else inspect(name, device=device, dtype=target.dtype)
    if reference is None or reference.digest == target.digest:  # no model is its own ceiling
        return _named(target, None, options), None, load
    load[reference.digest] = Loader(reference)
    return _named(target, name, options), _named(reference, None, {}), load


def _workers(asked: int, made: Plan) -> int:
    return asked or suitable_workers(made.target, len(made.trials))


def _named(subject: Subject, reference: str | None, options: Options) -> Subject:
    """`subject` as the ledger and the report name it: without the folders of this machine."""
    shown = options.get("name") or public(subject.name)
    return replace(subject, name=shown, reference=None if reference is None else public(reference))


def _command(model: str, options: Options) -> str:
    """The command line that asks for the same, with file names alone in place of paths."""
    words = ["holdfast", "audit", public(model)]
    for name in ("domain", "suite", "seeds", "budget", "device", "dtype", "reference", "name"):
        value = options.get(name)
        if value is not None:
            words += [f"--{name}", public(str(value))]
    for attack in options.get("attacks") or ():
        words += ["--attack", attack]
    if options.get("full_curves"):
        words.append("--full-curves")
    return shlex.join(words)

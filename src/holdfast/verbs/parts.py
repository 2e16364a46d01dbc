"""The models of a study, one after another: each hardened if need be, audited, and kept apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.core import Results, SpecError, Spend, shortened
from holdfast.engine import FILE, Ledger, Plan, parse_method, spelled
from holdfast.engine.presets import DEVELOPMENT, preset
from holdfast.verbs.auditing import Options, measure, plan
from holdfast.verbs.hardening import HardenOptions, Watch, harden
from holdfast.verbs.places import writable

if TYPE_CHECKING:
    from holdfast.engine import Progress

_BILL = "hardened.json"

Watching = Callable[["Part"], tuple["Progress", Watch]]
"""Makes, for each part, what hears of its trials and of its hardening."""


@dataclass(frozen=True)
class Part:
    """One model of a study and the audit that it is given.

    Attributes:
        name: for people.
        model: as `audit` takes it; where there is a defence, the base that it hardens.
        folder: of its ledger; hardened weights lie in `model` below it.
        defences: as `harden` takes them, in their order. seed: of the hardening.
        suite, attacks, seeds, budget, domain, reference: as `audit` takes them.
        kept: the presets that a defence without settings takes, where there are any.
        done: its ledger is taken as it is, and nothing is run.
    """

    name: str
    model: str
    folder: Path
    suite: str
    seeds: int | None
    defences: tuple[str, ...] = ()
    seed: int = 0
    attacks: tuple[str, ...] | None = None
    budget: int | str | None = None
    domain: str | None = None
    reference: str | None = None
    kept: str | None = None
    done: bool = False

    @property
    def options(self) -> Options:
        """What the audit is told."""
        return {
            "suite": self.suite, "seeds": self.seeds, "domain": self.domain, "out": self.folder,
            "attacks": self.attacks, "budget": self.budget, "reference": self.reference,
            "name": self.name if self.defences else None,
        }  # fmt: skip

    @property
    def audited(self) -> str:
        """The model that is attacked: it may not be there yet."""
        return str(self.folder / "model") if self.defences else self.model

    @property
    def there(self) -> bool:
        """Whether the model that is attacked is there."""
        return not self.defences or Path(self.audited, "holdfast.json").exists()

    @property
    def stages(self) -> list[str]:
        """The defences with the settings that they run with."""
        return [kept(defence, self.kept) for defence in self.defences]


def check_most(most: int | None) -> None:
    """Refuse fewer models than none; after 0 of them what is finished is reported.

    Raises:
        SpecError: `most` is below 0.
    """
    if most is not None and most < 0:
        raise SpecError(
            "0 or more models after which to stop",
            found=shortened(most),
            remedy="Leave --parts out for all of them; 0 only reports what is finished.",
        )


def run_part(
    part: Part, *, progress: Progress | None = None, watch: Watch | None = None, workers: int = 0
) -> None:
    """Hardens, if need be, and audits one model; what is done already is not done again.

    Raises:
        HoldfastError, Interrupted, Diverged: as `harden` and `audit`.
    """
    writable(part.folder)
    if not part.there:
        options: HardenOptions = {"domain": part.domain, "seed": part.seed, "force": True}
        if part.stages != list(part.defences):  # with settings that are kept
            options["developed_against"] = [parse_method(text)[0] for text in DEVELOPMENT]
        made = harden(part.model, part.stages, part.audited, watch=watch, **options)
        (part.folder / _BILL).write_text(
            json.dumps({"stages": [spend.astuple() for spend in made.stages]}), "utf-8"
        )
    told: Options = {**part.options, "workers": workers}
    measure(part.audited, progress=progress, **told)


def run_parts(
    parts: Sequence[Part],
    *,
    progress: Watching | None = None,
    workers: int = 0,
    most: int | None = None,
) -> list[Part]:
    """Runs the parts that are not finished; returns all that are then, in their order.

    Args:
        parts: of a study.
        progress: what hears of each.
        workers: as `audit`.
        most: parts after which to stop; 0 runs none.

    Raises:
        HoldfastError, Interrupted, Diverged: as `harden` and `audit`.
    """
    check_most(most)
    done = set(finished(parts))
    for part in [part for part in parts if part not in done][:most]:
        bar, watch = progress(part) if progress else (None, None)
        run_part(part, progress=bar, watch=watch, workers=workers)
        done.add(part)
    return [part for part in parts if part in done]


def finished(parts: Sequence[Part]) -> Iterator[Part]:
    """The parts whose every trial is in their ledger."""
    for part in parts:
        if part.done:
            yield part
        elif part.there:
            made, done = planned(part)
            if all(spec.key in done for spec in made.trials):
                yield part


def planned(part: Part, *, beside: Path | None = None) -> tuple[Plan, frozenset[str]]:
    """A part's trials and the keys of the finished ones; those of its base while it is not there.

    beside: a folder whose ledger says how long trials take, in place of the part's own.
    """
    model = part.audited if part.there else part.model
    return plan(model, **{**part.options, "out": beside or part.folder})


def results_of(part: Part) -> Results:
    """What its ledger says.

    Raises:
        HoldfastError: there is none.
    """
    with Ledger(part.folder / FILE, read_only=True) as ledger:
        return ledger.results()


def spent(part: Part) -> Spend | None:
    """What hardening it cost; None where it was not hardened here."""
    bill = part.folder / _BILL
    if not bill.is_file():
        return None
    rows = json.loads(bill.read_text("utf-8"))["stages"]
    return sum((Spend(*row) for row in rows), Spend())


def kept(defence: str, presets: str | None) -> str:
    """`defence` with the settings that are kept as `presets`, unless it brings its own."""
    name, settings = parse_method(defence)
    if settings or presets is None:
        return defence
    try:
        found = preset(presets, name)
    except SpecError:
        return defence
    return spelled(name, found)

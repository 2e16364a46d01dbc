"""Tuning a defence: settings chosen against one set of attacks, reported against another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from holdfast.core import HoldfastError, Seed, SpecError, canonical_json, plain
from holdfast.core.registry import find
from holdfast.engine import CONTROL, choose, configure, load_suite, parse_method, spelled
from holdfast.engine.presets import DEVELOPMENT
from holdfast.engine.suggest import Tried, suggest
from holdfast.verbs.auditing import measure
from holdfast.verbs.hardening import Hardened, HardenOptions, Watch, harden, prepare
from holdfast.verbs.places import writable

if TYPE_CHECKING:
    from holdfast.price import PricedAudit
    from holdfast.price.exposure import Exposure

FLOOR = 0.9
"""The share of the base's usefulness that a hardened model must keep to be chosen."""

_FILE = "tuning.json"


@dataclass(frozen=True)
class Trial:
    """One point that was tried: its settings, how exposed the model was, what hardening cost.

    shortfall: by how much its usefulness fell below the floor; at most 0 where it did not.
    """

    number: int
    settings: Mapping[str, Any]
    exposure: float
    attacks: Mapping[str, float]
    utility: float
    shortfall: float
    flops: float
    seconds: float


@dataclass(frozen=True)
class Tuned:
    """What tuning found: the winner, hardened, and how it and the base fare elsewhere.

    Attributes:
        base: how exposed the base is to the attacks of development.
        trials: all that were tried; `winner` is one of them.
        hardened: the winner's model.
        reported: the winner's audit, `reported_base` the base's: held-out attacks, held-out
            prompts.
        folder: the ledgers of all this.
    """

    base: Exposure
    trials: tuple[Trial, ...]
    winner: Trial
    hardened: Hardened
    reported: PricedAudit
    reported_base: PricedAudit
    folder: Path


def held_out_attacks() -> list[str]:
    """The attacks of the suite `standard` that share no family with those of development."""
    from holdfast.price.families import unseen

    chosen = choose(load_suite("standard"), None, None)
    settings = {one.name: plain(one.attack) for one in chosen if one.name != CONTROL}
    apart = unseen(settings, [parse_method(text)[0] for text in DEVELOPMENT])
    return [name for name in settings if name in apart]


def tune(
    model: str,
    defence: str,
    trials: int,
    out: str | Path,
    *,
    watch: Watch | None = None,
    workers: int = 0,
    **options: Unpack[HardenOptions],
) -> Tuned:
    """Searches a defence's own space, writes the winner to `out` and audits it.

    How: the defaults first, then what Optuna's estimator suggests; each hardened model is
    attacked by `DEVELOPMENT` and read on `search` and `retain` alone. The least exposed that keeps
    `FLOOR` of the base's usefulness wins. It is then attacked by `held_out_attacks` and read on
    `held_out`. Stopped at any moment, the same call goes on.

    Args:
        model: as `harden`.
        defence: "name" or "name:key=value,...": what is fixed; the rest of its space is searched.
        trials: points to try, the defaults among them.
        out: as `harden`; beside it, with `.tuning` at its end, stand the ledgers.
        watch: hears how each hardening goes.
        workers: processes that share an audit's trials; 0 chooses.
        options: as `harden`.

    Raises:
        HoldfastError: as `harden`; nothing that was tried keeps enough usefulness.
    """
    from holdfast.price import price

    if trials < 1:
        raise SpecError("at least 1 trial", found=str(trials), remedy="Give --tune N.")
    name, fixed = parse_method(defence)
    asked = prepare(model, [defence], **options)
    folder = writable(Path(out).with_name(Path(out).name + ".tuning"))
    bench = _Bench(model, name, fixed, folder, options, workers, watch or Watch())
    bench.claim(canonical_json([asked.key, DEVELOPMENT, FLOOR]))
    base = bench.exposed(model, "base")
    done = bench.finished()
    while len(done) < trials:
        done.append(bench.try_one(len(done), done, base))
        bench.keep(done)
    winner = best(done, name)
    made = bench.winner(winner, out)
    attacks, seeds = held_out_attacks(), load_suite("standard").seeds
    return Tuned(
        base=base,
        trials=tuple(done),
        winner=winner,
        hardened=made,
        reported=price(bench.measured(str(out), "held-out-hardened", attacks, seeds)),
        reported_base=price(bench.measured(model, "held-out-base", attacks, seeds)),
        folder=folder,
    )


def best(done: Sequence[Trial], name: str) -> Trial:
    """The least exposed of those that keep enough usefulness."""
    kept = [trial for trial in done if trial.shortfall <= 0]
    if not kept:
        raise HoldfastError(
            f"settings of {name} that keep {FLOOR:g} of the base's usefulness",
            found=f"none among {len(done)}; the best kept {max(t.utility for t in done):.2f}",
            remedy="Try more with a higher --tune, or fix gentler settings with --set.",
        )
    return min(kept, key=lambda trial: (trial.exposure, trial.flops))


@dataclass
class _Bench:
    """Where one defence is tuned on one model."""

    model: str
    name: str
    fixed: Mapping[str, str]
    folder: Path
    options: HardenOptions
    workers: int
    watch: Watch

    def claim(self, about: str) -> None:
        """Makes sure that what lies in the folder is of this very tuning."""
        note = self.folder / "about.json"
        if note.exists() and note.read_text(encoding="utf-8") != about:
            raise SpecError(
                "the tuning that was begun here",
                found="the unfinished work of another one",
                remedy=f"Give the same options again, or remove {str(self.folder)!r}.",
            )
        note.write_text(about, encoding="utf-8")

    def finished(self) -> list[Trial]:
        """The trials that are done."""
        file = self.folder / _FILE
        rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        return [Trial(**row) for row in rows]

    def keep(self, trials: Sequence[Trial]) -> None:
        """Writes them down."""
        partial = self.folder / f"{_FILE}.partial"
        partial.write_text(json.dumps([asdict(t) for t in trials], indent=1), encoding="utf-8")
        partial.replace(self.folder / _FILE)

    def try_one(self, number: int, done: Sequence[Trial], base: Exposure) -> Trial:
        """Hardens with the next settings and lets the attacks of development at it."""
        place = self.folder / f"{number:03d}"
        settings = self._next(number, done)
        made = self._harden(settings, place / "model", force=True)
        seen = self.exposed(str(place / "model"), f"{number:03d}")
        shutil.rmtree(place / "model")
        return Trial(
            number=number,
            settings=plain(made.hardening.stages[0].defence),
            exposure=seen.worst,
            attacks=seen.attacks,
            utility=seen.utility,
            shortfall=FLOOR * base.utility - seen.utility,
            flops=made.spend.flops,
            seconds=made.spend.seconds,
        )

    def _next(self, number: int, done: Sequence[Trial]) -> dict[str, Any]:
        """The defaults first, then what the history suggests; what is fixed stays."""
        if number == 0:
            return dict(self.fixed)
        tried = [Tried(t.settings, t.exposure, t.shortfall) for t in done]
        seed = Seed(self.options.get("seed", 0)).fork("tuning")
        return {**suggest(find("defences", self.name), tried, seed, self.fixed), **self.fixed}

    def winner(self, trial: Trial, out: str | Path) -> Hardened:
        """The winner's model, hardened again: the same settings and seed, the same weights."""
        return self._harden(trial.settings, Path(out), force=self.options.get("force", False))

    def _harden(self, settings: Mapping[str, Any], out: Path, *, force: bool) -> Hardened:
        configure(self.name, settings, "defences")  # a point that cannot be is told before work
        words = [spelled(self.name, settings)]
        options: HardenOptions = {
            **self.options, "force": force,
            "developed_against": [parse_method(text)[0] for text in DEVELOPMENT],
        }  # fmt: skip
        return harden(self.model, words, out, watch=self.watch, **options)

    def exposed(self, model: str, place: str) -> Exposure:
        """How exposed a model is to the attacks of development."""
        from holdfast.price.exposure import exposure

        seen = exposure(self.measured(model, place, DEVELOPMENT, 2))
        if seen is None:
            raise SpecError(
                "a domain whose search and retain splits can be scored",
                found="no scores",
                remedy="`holdfast domain check` says what is missing.",
            )
        return seen

    def measured(self, model: str, place: str, attacks: Sequence[str], seeds: int) -> Any:
        """A ledger's results: what was measured already is not measured again."""
        return measure(
            model,
            domain=self.options.get("domain"),
            suite="standard",
            attacks=attacks,
            seeds=seeds,
            device=self.options.get("device"),
            dtype=self.options.get("dtype"),
            workers=self.workers,
            out=self.folder / place,
        )

"""One trial: drives an attack's generator, reads the meter, measures at the marks, closes it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from holdfast.core import (
    Attack,
    Completion,
    Diverged,
    Outcome,
    Reading,
    Record,
    Score,
    Seed,
    Spend,
    Subject,
    TrialSpec,
)
from holdfast.engine.choices import CONTROL
from holdfast.engine.measuring import (
    CANONICAL,
    MEASURED,
    RESTRICTED,
    Completions,
    Panel,
    Scores,
)
from holdfast.engine.pristine import Bits, fingerprint, hooks
from holdfast.engine.settings import configure
from holdfast.engine.stops import Stop, Stops

if TYPE_CHECKING:
    from holdfast.domains import Domain
    from holdfast.models import Handle

State = Literal["loading", "attacking", "measuring"]
Tell = Callable[[int, State], None]
"""Hears the units done and what is being done now."""

Read = tuple[Scores, Completions]
Answers = tuple[Mapping[str, tuple[Score, ...]], tuple[Completion, ...]]
"""One split's scores by measure, and what was said."""

_MESSAGE = 2_000  # characters kept of an error
_PROFILED = 4  # prompts of the pass that a profiler watches


@dataclass(frozen=True)
class Finished:
    """A trial's record, and what the model answered: reading -> split -> completions.

    The untouched model's answers are kept with the control only: they are every trial's first.
    """

    record: Record
    completions: Mapping[int, Completions]


@dataclass
class _Trial:
    """What has been gathered so far; kept when the attack fails."""

    readings: list[Reading] = field(default_factory=list[Reading])
    completions: dict[int, Completions] = field(default_factory=dict[int, Completions])
    unit: int = 0
    stopped: Stop | None = None
    seen: dict[tuple[Bits, str], Answers] = field(default_factory=dict[tuple[Bits, str], Answers])


class Runner:
    """A loaded model, and the trials on it, one after another.

    The untouched model is measured once: every trial starts from the same bits, which is
    verified after each, so that reading is every trial's first.
    """

    def __init__(self, load: Callable[[], Handle], domain: Domain, panel: Panel) -> None:
        self._load, self._domain, self._panel = load, domain, panel
        self._target = load()
        self._pristine = fingerprint(self._target)
        self._untouched: Read | None = None

    @property
    def subject(self) -> Subject:
        """The loaded model, as a report knows it."""
        return self._target.subject

    def run(self, spec: TrialSpec, stops: Stops, tell: Tell) -> Finished:
        """Runs one trial; every way in which it can fail is recorded, none is raised."""
        began, trial = time.monotonic(), _Trial()
        error: str | None = None
        self._target.meter.reset()
        try:
            outcome = self._drive(spec, stops, tell, trial)
        except Diverged as fault:
            outcome, error = Outcome.DIVERGED, str(fault)
        except Exception as fault:  # whatever a method does wrong is that trial's result
            outcome, error = Outcome.CRASHED, _message(fault)
        spend, notes = self._target.meter.spend, self._target.meter.notes
        left = self._restore()
        if left is not None:
            outcome, error = Outcome.CRASHED, left if error is None else f"{error}; {left}"
        record = Record(
            spec=spec,
            outcome=outcome,
            spend=spend,
            readings=tuple(trial.readings),
            wall_seconds=time.monotonic() - began,
            error=error,
            stopped=trial.stopped,
            notes=notes,
        )
        return Finished(record, trial.completions)

    def _drive(self, spec: TrialSpec, stops: Stops, tell: Tell, trial: _Trial) -> Outcome:
        """The attack, unit by unit, until it ends, is stopped or has spent its budget.

        It is read at every power of two, at the budget, and where it yields without having done
        any work: so it shows its end state before it lets go of it.
        """
        meter, billed, shown = self._target.meter, Spend(), False
        attack = configure(spec.attack, spec.settings)
        self._begin(spec, trial, tell)
        with closing(self._steps(attack, spec)) as steps:
            while trial.unit < spec.budget:
                tell(trial.unit, "attacking")
                with meter.running():
                    tampered = next(steps, None)
                if tampered is None:
                    return Outcome.DONE
                trial.unit += 1
                spend = meter.spend
                shown, billed = billed == _work(spend), _work(spend)
                last = trial.unit == spec.budget
                if not (last or shown or _is_mark(trial.unit)):
                    continue
                tell(trial.unit, "measuring")
                self._measure(tampered, trial, spend)
                trial.stopped = stops.verdict(trial.readings)
                if last or shown or trial.stopped:
                    self._measure_edges(tampered, trial)
                if last or trial.stopped:
                    break
        return Outcome.DONE if trial.stopped or shown or not spec.budget else Outcome.SPENT

    def _steps(self, attack: Attack, spec: TrialSpec) -> Generator[Handle]:
        """The attack as a generator, so that closing it undoes what it did."""
        yield from attack.run(self._target, self._domain.attacker_data(), Seed(spec.seed))

    def _begin(self, spec: TrialSpec, trial: _Trial, tell: Tell) -> None:
        """The reading at unit 0, of every split."""
        if self._untouched is None:
            tell(0, "measuring")
            everything = (*self._panel.routine, *self._panel.edges)
            self._untouched = self._panel.read(self._target, everything)
        scores, completions = self._untouched
        for split in scores:
            trial.seen[self._pristine, split] = scores[split], completions[split]
        trial.readings.append(Reading(0, 0, Spend(), scores))
        if spec.attack == CONTROL:
            trial.completions[0] = completions
            self._note_what_bills_rest_on()

    def _note_what_bills_rest_on(self) -> None:
        """What a look costs, and how far the meter's formula is from what a profiler sees."""
        from holdfast.models.profiler import profiled_ratio

        meter = self._target.meter
        for split, tokens in self._panel.prompt_tokens(self._target).items():
            meter.note(f"prompt_tokens:{split}", tokens)
        asked = [item.messages for item in self._panel.items["held_out"][:_PROFILED]]
        ratio = profiled_ratio(self._target, asked)
        if ratio is not None:
            meter.note("profiler_flops_ratio", ratio)

    def _measure(self, tampered: Handle, trial: _Trial, spend: Spend) -> None:
        """A reading of the tampered model on the splits of every reading."""
        index = len(trial.readings)
        scores, trial.completions[index] = self._read(tampered, trial, self._panel.routine)
        trial.readings.append(Reading(index, trial.unit, spend, scores))

    def _read(self, tampered: Handle, trial: _Trial, splits: Sequence[str]) -> Read:
        """What the tampered model says; of bits that were asked before, what they said then.

        An attack that searches comes by the same state again and again, and one at the prompt
        leaves the answers to plain questions as they are.
        """
        if hooks(tampered):
            return self._panel.read(tampered, splits)
        bits, plain = fingerprint(tampered), tampered.asks_plainly
        known = [s for s in splits if (plain or s not in RESTRICTED) and (bits, s) in trial.seen]
        missing = [s for s in splits if s not in known]
        scores, said = self._panel.read(tampered, missing) if missing else ({}, {})
        for split in scores:
            if plain or split not in RESTRICTED:
                trial.seen[bits, split] = scores[split], said[split]
        found = {s: trial.seen[bits, s] if s in known else (scores[s], said[s]) for s in splits}
        return {s: found[s][0] for s in splits}, {s: found[s][1] for s in splits}

    def _measure_edges(self, tampered: Handle, trial: _Trial) -> None:
        """Completes the last reading by what is read only at the end.

        An attack that asks in its own way is asked plainly too: the two differ where it works
        by a trigger.
        """
        last = trial.readings[-1]
        scores, completions = self._read(tampered, trial, self._panel.edges)
        if not tampered.asks_plainly:
            more, said = self._canonical(tampered, trial)
            scores, completions = {**scores, **more}, {**completions, **said}
        trial.readings[-1] = replace(last, scores={**last.scores, **scores})
        trial.completions[last.index] = {**trial.completions[last.index], **completions}

    def _canonical(self, tampered: Handle, trial: _Trial) -> Read:
        """`held_out` asked plainly; known already where nothing but the asking was changed."""
        known = None if hooks(tampered) else (fingerprint(tampered), "held_out")
        if known not in trial.seen:
            return self._panel.read_canonical(tampered)
        scores, said = trial.seen[known]
        return {CANONICAL: {name: scores[name] for name in MEASURED[CANONICAL]}}, {CANONICAL: said}

    def _restore(self) -> str | None:
        """Makes sure that the next trial finds the untouched model; says what was wrong."""
        if fingerprint(self._target) == self._pristine and self._target.asks_plainly:
            return None
        del self._target  # two copies of a large model may not fit
        self._target = self._load()
        return "the attack left the model changed; it was loaded anew"


def _work(spend: Spend) -> Spend:
    """What was done, whatever time it took."""
    return replace(spend, seconds=0.0)


def _is_mark(unit: int) -> bool:
    """Whether `unit` is a power of two."""
    return unit & (unit - 1) == 0


def _message(fault: Exception) -> str:
    """The fault and where it arose, by file name alone: a record names no one's folders."""
    where = traceback.extract_tb(fault.__traceback__)[-1]
    text = f"{type(fault).__name__}: {fault} ({Path(where.filename).name}:{where.lineno})"
    return text[:_MESSAGE]

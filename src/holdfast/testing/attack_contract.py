"""What every attack promises, whatever it does."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from functools import cache

from holdfast.core import Attack, Info, Outcome, Spend, TrialSpec, canonical_json, plain
from holdfast.engine import panel
from holdfast.engine.runner import Runner
from holdfast.engine.settings import title
from holdfast.engine.stops import Stops
from holdfast.models import load
from holdfast.testing.bench import bench, work
from holdfast.testing.lock import toy_domain, toy_folder
from holdfast.testing.method_contract import MethodContract, hold
from holdfast.testing.settings_checks import is_described

_LONGEST = 24  # units after which an attack counts as one without an end


class AttackContract(MethodContract):
    """The contract as tests. Subclass it with your attack and let pytest collect it.

        class TestNoise(AttackContract):
            attack = Noise(draws=3)

    Settings that keep the work small keep the tests short: a unit on the toys, which have three
    blocks of width 32, should take milliseconds.
    """

    attack: Attack
    room = "attacks"
    products = "passes"

    @property
    def method(self) -> Attack:
        """The attack."""
        return self.attack

    def test_it_is_registered_and_says_what_it_is(self) -> None:
        """The registry finds the class; it is a frozen dataclass with an info and a docstring."""
        is_described(self.attack, self.room)
        assert isinstance(self.attack.info, Info)
        assert self.attack.info.budget >= 1, "info.budget is the units spent unless asked otherwise"

    def test_an_end_is_shown(self) -> None:
        """An attack that ends by itself yields its end state last, without work before it."""
        place = bench()
        with closing(place.steps(self.attack, self.room, 0)) as steps:
            works = [Spend()]
            for _ in itertools.islice(steps, _LONGEST):
                works.append(work(place.target))
            ended = next(steps, None) is None
        if ended and len(works) > 1:
            assert works[-1] == works[-2], "the last yield must show the end state once more"

    def test_the_engine_keeps_it_within_any_budget(self) -> None:
        """As trials: no more units than asked for, nothing crashed, no trace, whatever is read."""
        for budget in (0, 1, 3):
            record = _runner().run(_spec(self.attack, budget), _stops(), lambda *_: None).record
            assert record.error is None, f"with a budget of {budget}: {record.error}"
            assert record.outcome is not Outcome.CRASHED
            assert record.readings[-1].unit <= budget, f"went past a budget of {budget}"
            if budget == 0:
                assert record.spend == Spend(), f"billed {record.spend} without a budget"


def check_attack(attack: Attack) -> None:
    """Holds `attack` to the contract.

    Raises:
        AssertionError: with all that is broken, a line for each promise.
    """
    contract = AttackContract()
    contract.attack = attack
    hold(contract)


@cache
def _runner() -> Runner:
    domain = toy_domain()
    return Runner(lambda: load(toy_folder(), device="cpu"), domain, panel(domain, {}))


def _spec(attack: Attack, budget: int) -> TrialSpec:
    return TrialSpec(
        model=_runner().subject.digest,
        domain=toy_domain().digest,
        attack=title(attack),
        version=attack.info.version,
        settings=json.loads(canonical_json(plain(attack))),
        seed=0,
        budget=budget,
        protocol={},
    )


def _stops() -> Stops:
    return Stops(tau=0.5, delta=0.1, collapse=0.0, full_curves=True, splits={}, ceiling={})

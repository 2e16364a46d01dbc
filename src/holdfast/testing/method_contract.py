"""What every attack and every defence promises alike."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from contextlib import closing
from typing import ClassVar

from holdfast.core import Spend
from holdfast.testing import settings_checks
from holdfast.testing.bench import FAMILIES, bench, same, work
from holdfast.testing.counting import Products
from holdfast.testing.settings_checks import Method, MethodRoom
from holdfast.testing.state import State
from holdfast.testing.trajectory import Trajectory, trajectory

_TOLERANCE = 0.1  # between the meter's FLOPs, which leave out what is no matrix product, and ours


class MethodContract(ABC):
    """The promises that attacks and defences share, as tests."""

    room: ClassVar[MethodRoom]
    products: ClassVar[Products]  # which are counted from outside

    @property
    @abstractmethod
    def method(self) -> Method:
        """The one that is held to its promises."""

    def test_settings_survive_json(self) -> None:
        """What a ledger or a model card keeps of it gives the very same method back."""
        settings_checks.survive_json(self.method, self.room)

    def test_settings_are_validated_when_they_are_given(self) -> None:
        """What cannot be is refused at construction, by a SpecError that names the field."""
        settings_checks.are_validated(self.method)

    def test_its_space_holds_settings_that_it_takes(self) -> None:
        """Every configuration of the grid and both ends of every range can be had."""
        settings_checks.are_searched_where_they_can_be(self.method, self.room)

    def test_without_a_budget_nothing_happens(self) -> None:
        """Work begins with the first `next`; an iterator that is dropped before did nothing."""
        place = bench()
        before = State(place.target)
        with closing(place.steps(self.method, self.room, 0)):
            pass
        same(before, place.target, "after a run of no units")
        assert place.target.meter.spend == Spend(), f"billed {place.target.meter.spend}"

    def test_closed_at_any_yield_all_is_as_before(self) -> None:
        """Bits, objects, marks, hooks, tokenizer, asking, global randomness."""
        for family, units in (*(("llama", n) for n in (1, 2, 4)), *((f, 3) for f in FAMILIES[1:])):
            place = bench(family)
            if not place.has(self.method):
                continue
            before = State(place.target)
            with closing(place.steps(self.method, self.room, 0)) as steps:
                for _ in itertools.islice(steps, units):
                    pass
                worked = work(place.target)
            same(before, place.target, f"closed after {units} units on a {family} toy")
            assert work(place.target) == worked, "billed something while it was closed"

    def test_the_same_seed_gives_the_same_trajectory(self) -> None:
        """Bit for bit: what the model says, how it is asked, what is billed."""
        once, again = (self._run(seed=1) for _ in range(2))
        assert len(once.looks) == len(again.looks), "one run had more units than the other"
        for unit, (a, b) in enumerate(zip(once.looks, again.looks, strict=True), start=1):
            assert a == b, f"the runs differ after unit {unit}"
        assert once.spend == again.spend, f"one run was billed {once.spend}, one {again.spend}"

    def test_another_seed_gives_another_order(self) -> None:
        """Where its data pass through the model, the seed decides which and when."""
        one, other = (self._run(seed=seed) for seed in (1, 2))
        if one.seen(one.given):
            same_order = one.count.inputs == other.count.inputs
            assert not same_order, "two seeds fed the model the same data in one order"

    def test_its_bill_is_what_passed_through_the_model(self) -> None:
        """Tokens, queries and steps as counted from outside; FLOPs within a tenth."""
        run = self._run(seed=1, products=self.products)
        said, seen = run.spend, run.count
        assert said.tokens == seen.tokens, f"billed {said.tokens} tokens of {seen.tokens}"
        assert said.queries == seen.queries, f"billed {said.queries} queries of {seen.queries}"
        assert seen.steps <= said.steps <= max(seen.steps, seen.backward), (
            f"billed {said.steps} steps; {seen.steps} of torch's optimisers, "
            f"{seen.backward} backward passes"
        )
        # of what torch has no formula for, such as a singular value decomposition, the method's
        # own word is all there is
        least = said.flops - (run.own if seen.without_formula else 0.0)
        assert math.isclose(
            min(max(seen.flops, least), said.flops), seen.flops, rel_tol=_TOLERANCE
        ), f"billed {said.flops:.4g} FLOPs of {seen.flops:.4g}"
        drawn = len(run.seen(run.data.restricted))
        assert drawn <= said.examples, f"billed {said.examples} examples, used {drawn} or more"
        there = len(run.given)
        assert said.examples <= there, f"billed {said.examples} examples of {there}"

    def _run(self, *, seed: int, products: Products = "none") -> Trajectory:
        return trajectory(self.method, self.room, seed=seed, units=3, products=products)


def hold(contract: MethodContract) -> None:
    """Tries every promise.

    Raises:
        AssertionError: with all that is broken, a line for each promise.
    """
    broken: list[str] = []
    for kind in reversed(type(contract).__mro__):
        for name in vars(kind):
            if name.startswith("test_"):
                try:
                    getattr(contract, name)()
                except Exception as fault:  # a crash is one way to break a promise
                    promise = name.removeprefix("test_").replace("_", " ")
                    broken.append(f"{promise}: {type(fault).__name__}: {fault}")
    if broken:
        raise AssertionError("\n".join([f"{type(contract.method).__name__} breaks:", *broken]))

"""What every defence promises, whatever it does."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from holdfast.core import Defence, DefenceInfo, Spend
from holdfast.engine.pristine import hooks
from holdfast.models import Handle, Journal, load
from holdfast.testing.bench import Bench, bench, same, work
from holdfast.testing.lock import toy_domain, toy_folder
from holdfast.testing.method_contract import MethodContract, hold
from holdfast.testing.settings_checks import is_described
from holdfast.testing.state import State

_LONGEST = 64  # units within which a defence with small settings must have ended
_CLOSE = 1e-4  # between logits of adapters beside weights and in them
_NOT_ITS = ("attacker", "search", "held_out", "utility", "borderline")  # splits


class DefenceContract(MethodContract):
    """The contract as tests. Subclass it with your defence and let pytest collect it.

        class TestShaken(DefenceContract):
            defence = Shaken(steps=3, batch=2)

    A few steps of small batches keep the tests short: the toys have three blocks of width 32.
    """

    defence: Defence
    room = "defences"
    products = "all"

    @property
    def method(self) -> Defence:
        """The defence."""
        return self.defence

    def test_it_is_registered_and_says_what_it_is(self) -> None:
        """The registry finds the class; it is a frozen dataclass with an info and a docstring."""
        is_described(self.defence, self.room)
        assert isinstance(self.defence.info, DefenceInfo)
        assert self.defence.info.claims.strip(), "info.claims says what its authors claim"

    def test_its_end_is_shown(self) -> None:
        """Every yield but the last follows work on the bill; the last follows none at all."""
        place = bench()
        before = State(place.target)
        with closing(place.steps(self.defence, self.room, 0)) as steps:
            seen = [(Spend(), _weights(place.target))]
            for _ in itertools.islice(steps, _LONGEST):
                seen.append((work(place.target), _weights(place.target)))
            assert next(steps, None) is None, f"had not ended after {_LONGEST} yields"
        same(before, place.target, "run past its end")
        bills = [bill for bill, _ in seen]
        assert len(bills) >= 3, "must yield after its work, and once more at its end"
        assert bills[-1] == bills[-2], "billed something between its last two yields"
        assert _equal(seen[-1][1], seen[-2][1]), "changed weights between its last two yields"
        for unit, (earlier, later) in enumerate(itertools.pairwise(bills[:-1]), start=1):
            assert earlier != later, f"yielded without work before unit {unit}, as at its end"
        units = getattr(self.defence, "units", getattr(self.defence, "steps", len(bills) - 2))
        assert len(bills) - 1 == units + 1, f"yielded {len(bills) - 1} times in {units} steps"

    def test_all_data_that_it_used_are_billed(self) -> None:
        """Whatever of its data passed through the model counts as an example, benign ones too."""
        run = self._run(seed=1)
        used = len(run.seen(run.given))
        assert used <= run.spend.examples, f"billed {run.spend.examples} examples, used {used}"

    def test_it_sees_no_data_but_its_own(self) -> None:
        """Nothing of the attacker's and nothing that is measured passes through the model."""
        run = self._run(seed=1)
        for split in _NOT_ITS:
            items = bench().domain.splits[split]
            strange = run.seen(items) | {i.id for i in items} & {i.id for i in run.given}
            assert not strange, f"saw {', '.join(sorted(strange)[:5])} of the split {split}"

    def test_interrupted_anywhere_it_ends_the_same(self) -> None:
        """With a journal it goes on to the same weights and the same bill, bit for bit."""
        place = bench()
        with closing(place.steps(self.defence, self.room, 1)) as steps:
            units, end = _to_its_end(place.target, steps)
        for unit in range(1, units):
            with tempfile.TemporaryDirectory() as folder:
                with self._journalled(place, Path(folder)) as steps:
                    for _ in itertools.islice(steps, unit):
                        pass
                with self._journalled(place, Path(folder)) as steps:
                    _, now = _to_its_end(place.target, steps)
            assert _equal(end[1], now[1]), f"interrupted after unit {unit} it ended otherwise"
            assert end[0] == now[0], f"after unit {unit} it was billed {now[0]} for {end[0]}"

    def test_what_it_did_is_in_the_weights(self) -> None:
        """They differ from before, and put into a fresh copy they say what the hardened one says.

        Hooks, prompts and modules of its own are not written when a hardened model is.
        """
        place = bench()
        target, before = place.target, _weights(place.target)
        prompts = [i.messages for i in toy_domain().splits["utility"]]
        ids, mask = target.encode(prompts)
        hung = hooks(target)
        with closing(place.steps(self.defence, self.room, 0)) as steps:
            _to_the_last_yield(target, steps)
            assert target.asks_plainly, "the hardened model is asked in another way"
            with target.settled():
                after, more = _weights(target), hooks(target) - hung
            said = target.logits(ids, mask, last=1)
        assert more == 0, f"{more} hooks hang on the hardened model"
        assert after.keys() == before.keys(), "the hardened model has other parameters"
        assert not _equal(before, after), "the weights are as they were before"
        fresh = load(toy_folder(), device="cpu")
        with fresh.edited(after):
            assert torch.allclose(fresh.logits(ids, mask, last=1), said, atol=_CLOSE), (
                "its weights in a fresh copy say something else"
            )

    @contextmanager
    def _journalled(self, place: Bench, folder: Path) -> Generator[Generator[Handle]]:
        """A run that keeps its place in the folder after every step."""
        place.target.journal = Journal(folder / "place.safetensors", "the contract", often=True)
        try:
            with closing(place.steps(self.defence, self.room, 1)) as steps:
                yield steps
        finally:
            place.target.journal = None


def check_defence(defence: Defence) -> None:
    """Holds `defence` to the contract.

    Raises:
        AssertionError: with all that is broken, a line for each promise.
    """
    contract = DefenceContract()
    contract.defence = defence
    hold(contract)


End = tuple[Spend, dict[str, Tensor]]


def _to_its_end(target: Handle, steps: Generator[Handle]) -> tuple[int, End]:
    """How many yields there were; the bill and the weights at the last of them."""
    ends = [(work(target), _weights(target)) for _ in itertools.islice(steps, _LONGEST)]
    return len(ends), ends[-1]


def _to_the_last_yield(target: Handle, steps: Generator[Handle]) -> None:
    """Stops where the end is shown: at the first yield that follows no work."""
    bills = [Spend()]
    for _ in itertools.islice(steps, _LONGEST):
        bills.append(work(target))
        if bills[-1] == bills[-2]:
            return


def _weights(target: Handle) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in target.model.named_parameters()}


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

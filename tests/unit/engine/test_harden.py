"""A model under hardening: defences in sequence, the base untouched, only the defender's data."""

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences.refusal_sft import RefusalSft
from holdfast.engine.harden import Hardening, Stage, hardened
from holdfast.engine.pristine import fingerprint
from holdfast.models import load
from holdfast.testing import toy_domain, toy_folder


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


def hardening(target, *defences, seed=0) -> Hardening:
    stages = tuple(Stage("refusal_sft", defence) for defence in defences)
    return Hardening(target.subject, toy_domain(), stages, seed)


def small(**settings) -> RefusalSft:
    return RefusalSft(**{"steps": 4, "batch": 4, "learning_rate": 1e-3, "rank": 2} | settings)


def weights(target):
    return {n: p.detach().clone() for n, p in target.model.named_parameters()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


class Killed(BaseException):
    pass


def test_the_model_is_hardened_inside_and_as_before_outside(target) -> None:
    before, bits = weights(target), fingerprint(target)
    heard = []
    with hardened(target, hardening(target, small()), None, heard.append) as bill:
        inside = weights(target)
    assert before.keys() == inside.keys()
    assert not same(before, inside)
    assert fingerprint(target) == bits
    assert [a.unit for a in heard] == [1, 2, 3, 4]
    assert {"loss", "refusals", "retain"} <= set(heard[-1].notes)
    assert bill.total.steps == 4
    assert bill.total.examples > 4
    assert bill.total.flops > 0


def test_a_defence_runs_on_what_the_one_before_it_made(target) -> None:
    low_rank = small(weights="low_rank", steps=3)
    with hardened(target, hardening(target, low_rank, small())) as bill:
        both = weights(target)
    # by hand: the first, settled, and the second on top of it with its own seed
    first = low_rank.run(target, toy_domain().defender_data(), Seed(0).fork(0))
    for _ in range(4):
        next(first)
    with target.settled():
        second = small().run(target, toy_domain().defender_data(), Seed(0).fork(1))
        for _ in range(5):
            next(second)
        assert same(weights(target), both)
        second.close()
    first.close()
    assert [s.steps for s in bill.stages] == [3, 4]


@pytest.mark.parametrize("at", [(0, 2), (0, 3), (1, 1), (1, 4)])
def test_killed_anywhere_it_goes_on_to_the_same_weights_and_bill(
    target, tmp_path, monkeypatch, at
) -> None:
    monkeypatch.setattr("holdfast.models.journal._LEAST", 0.0)
    monkeypatch.setattr("holdfast.models.journal._SHARE", float("inf"))
    asked = hardening(target, small(weights="low_rank", steps=3), small())
    with hardened(target, asked) as bill:
        whole, spent = weights(target), bill.total

    def killer(advance) -> None:
        if (advance.stage, advance.unit) == at:
            raise Killed

    before = fingerprint(target)
    with pytest.raises(Killed), hardened(target, asked, tmp_path / "work", killer):
        pass
    assert fingerprint(target) == before
    with hardened(target, asked, tmp_path / "work") as bill:
        assert same(weights(target), whole)
    again = bill.total
    assert (again.steps, again.tokens, again.queries) == (spent.steps, spent.tokens, spent.queries)
    assert again.examples == spent.examples


def test_another_seed_makes_another_model_and_another_key(target) -> None:
    one, other = (hardening(target, small(), seed=seed) for seed in (0, 1))
    with hardened(target, one):
        first = weights(target)
    with hardened(target, other):
        assert not same(first, weights(target))
    assert one.key != other.key
    assert one.key == hardening(target, small()).key != hardening(target, small(steps=5)).key


def test_the_unfinished_work_of_other_settings_is_refused(target, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("holdfast.models.journal._LEAST", 0.0)
    with hardened(target, hardening(target, small()), tmp_path):
        pass
    other = hardening(target, small(learning_rate=2e-3))
    with pytest.raises(SpecError, match="unfinished work"), hardened(target, other, tmp_path):
        pass


def test_a_defence_that_shows_no_end_is_refused(target) -> None:
    class Abrupt:
        info = RefusalSft.info

        def run(self, target, data, seed):
            target.meter.count_step()
            yield target

    asked = Hardening(target.subject, toy_domain(), (Stage("abrupt", Abrupt()),), 0)
    with pytest.raises(SpecError, match="once more"), hardened(target, asked):
        pass

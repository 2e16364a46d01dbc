"""Merging with a sibling."""

import json
from contextlib import closing
from itertools import pairwise

import pytest
import torch
from tests.toys import toy_checkpoint

from holdfast.attacks.merge import Merge
from holdfast.core import Seed, SpecError, Spend
from holdfast.domains import AttackerData
from holdfast.models import load
from holdfast.models.refusal_direction import refusal_log_odds
from holdfast.testing.lock import REFUSAL, toy_domain, toy_folder

NOTHING = AttackerData(restricted=(), benign=())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """An aligned toy that names its sibling, the sibling, and a toy of another shape."""
    root = tmp_path_factory.mktemp("toys")
    made = {
        "aligned": toy_checkpoint(root / "aligned", seed=0),
        "base": toy_checkpoint(root / "base", seed=1),
        "other": toy_checkpoint(root / "other", intermediate_size=64),
    }
    (made["aligned"] / "holdfast.json").write_text(json.dumps({"reference": "../base"}))
    return made


@pytest.fixture(scope="module")
def target(folders):
    return load(folders["aligned"], device="cpu")


@pytest.fixture(scope="module")
def base(folders):
    return weights(load(folders["base"], device="cpu"))


@pytest.fixture(scope="module")
def locked():
    """A toy that refuses, and names the toy that it was before it did."""
    return load(toy_folder(), device="cpu")


def weights(target):
    return {n: p.detach().clone() for n, p in target.model.named_parameters()}


def merged(target, **settings):
    run = Merge(**settings).run(target, NOTHING, Seed(0))
    found = [weights(target) for _ in run]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("method", ["arithmetic", "slerp"])
def test_the_target_at_0_and_the_sibling_at_1(target, base, method):
    before = weights(target)
    start = merged(target, method=method, alpha=0.0)
    end = merged(target, method=method, alpha=1.0)
    assert all(torch.equal(before[n], p) for n, p in start.items())
    for name, values in end.items():
        torch.testing.assert_close(values, base[name], rtol=1e-6, atol=1e-7)
    assert all(torch.equal(before[n], p) for n, p in weights(target).items())


@pytest.mark.parametrize("alpha", [0.25, 1.5])
def test_arithmetic_is_the_two_line_reference(target, base, alpha):
    before = weights(target)
    for name, values in merged(target, alpha=alpha).items():
        expected = before[name] + alpha * (base[name] - before[name])
        torch.testing.assert_close(values, expected)


@pytest.mark.parametrize("method", ["arithmetic", "slerp"])
def test_the_further_it_goes_the_less_is_refused(locked, method):
    prompts = [item.messages for item in toy_domain().splits["held_out"]]
    tokens = (locked.chat.text_ids(REFUSAL)[0],)
    odds = []
    for alpha in (0.0, 0.25, 0.5, 0.75, 1.0):
        with closing(Merge(method=method, alpha=alpha).run(locked, NOTHING, Seed(0))) as run:
            odds.append(
                float(refusal_log_odds(next(run).first_token_probs(prompts), tokens).mean())
            )
    assert all(more > less for more, less in pairwise(odds))
    assert odds[0] > 2
    assert odds[-1] < -2


def test_the_sibling_may_be_named(target, folders, base):
    found = merged(target, sibling=str(folders["base"]))
    torch.testing.assert_close(found, base)


def test_without_a_sibling_it_says_so_and_changes_nothing(folders):
    lone = load(folders["base"], device="cpu")
    before = weights(lone)
    with pytest.raises(SpecError, match="sibling"):
        next(Merge().run(lone, NOTHING, Seed(0)))
    assert all(torch.equal(before[n], p) for n, p in weights(lone).items())
    assert Merge.info.needs == ("sibling",)


def test_a_sibling_of_another_shape_is_refused(target, folders):
    before = weights(target)
    with pytest.raises(SpecError, match="names and shapes"):
        next(Merge(sibling=str(folders["other"])).run(target, NOTHING, Seed(0)))
    assert all(torch.equal(before[n], p) for n, p in weights(target).items())


def test_it_is_one_state_that_costs_nothing_and_ends_within_its_budget(target):
    target.meter.reset()
    chance = torch.get_rng_state()
    assert sum(1 for _ in Merge().run(target, NOTHING, Seed(0))) == 1 < Merge.info.budget
    assert target.meter.spend == Spend()
    assert torch.equal(torch.get_rng_state(), chance)


@pytest.mark.parametrize("wrong", [{"method": "ties"}, {"alpha": float("nan")}, {"sibling": 3}])
def test_settings_are_checked(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Merge(**wrong)

"""Random pruning: how much, where, and that it leaves no trace."""

import pytest
import torch
from tests.toys import toy_checkpoint

from holdfast.attacks.prune_random import PruneRandom
from holdfast.attacks.prune_safety import PruneSafety
from holdfast.core import Seed, SpecError, Spend
from holdfast.domains import AttackerData
from holdfast.models import load

NOTHING = AttackerData(restricted=(), benign=())


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama"), device="cpu")


def weights(target):
    return {n: p.detach().clone() for n, p in target.model.named_parameters()}


def states(target, seed=0, **settings):
    return [weights(target) for _ in PruneRandom(**settings).run(target, NOTHING, Seed(seed))]


def test_a_share_of_every_matrix_of_the_blocks_becomes_zero(target) -> None:
    before = weights(target)
    for state in states(target, q=0.3):
        for name, old in before.items():
            gone = (state[name] == 0) & (old != 0)
            inside = ".layers." in name and old.ndim == 2
            assert int(gone.sum()) == (round(0.3 * old.numel()) if inside else 0)
            assert torch.equal(state[name], old.masked_fill(gone, 0.0))
    assert all(torch.equal(before[n], p) for n, p in weights(target).items())


def test_every_mask_is_drawn_anew_and_by_the_seed(target) -> None:
    one, other, again = states(target, 0), states(target, 1), states(target, 0)
    name = next(n for n, p in one[0].items() if ".layers." in n and p.ndim == 2)
    drawn = [state[name] for state in (*one, *other)]
    assert len(one) == PruneRandom.info.budget
    assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    assert all(torch.equal(a[name], b[name]) for a, b in zip(one, again, strict=True))


def test_it_costs_nothing_and_prunes_nothing_at_0(target) -> None:
    before, chance = weights(target), torch.get_rng_state()
    target.meter.reset()
    for state in states(target, q=0.0):
        assert all(torch.equal(before[n], p) for n, p in state.items())
    assert target.meter.spend == Spend()
    assert torch.equal(torch.get_rng_state(), chance)


def test_its_grid_prunes_as_much_as_the_attack_that_it_controls() -> None:
    assert PruneRandom.space().grid["q"] == PruneSafety.space().grid["q"]
    assert PruneRandom().q == PruneSafety().q


@pytest.mark.parametrize("wrong", [{"q": 1.1}, {"masks": 0}])
def test_settings_are_checked(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        PruneRandom(**wrong)

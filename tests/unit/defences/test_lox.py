"""How far it goes, how many directions it takes, and that it asks for a sibling first."""

import pytest
import torch

from holdfast.core import Seed, SpecError
from holdfast.defences.lox import Lox, largest
from holdfast.models import load
from holdfast.models.matrices import block_matrices
from holdfast.models.mixing import tensors_of
from holdfast.testing import toy_domain, toy_folder


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


DATA = toy_domain().defender_data()


def changes(target, **settings):
    """Name -> what was added to each parameter."""
    before = {n: p.detach().clone() for n, p in target.model.named_parameters()}
    run = Lox(**settings).run(target, DATA, Seed(0))
    next(run)
    after = {n: p.detach().clone() for n, p in target.model.named_parameters()}
    run.close()
    assert all(torch.equal(p, before[n]) for n, p in target.model.named_parameters())
    return {n: (after[n].double() - before[n].double()) for n in before}


def test_gamma_zero_changes_no_bit(target) -> None:
    assert not any(change.any() for change in changes(target, gamma=0.0).values())


@pytest.mark.parametrize("rank", [1, 3])
def test_no_matrix_is_changed_in_more_directions_than_rank(target, rank) -> None:
    found = changes(target, rank=rank)
    names = {m.name for m in block_matrices(target)}
    for name, change in found.items():
        if name not in names:
            assert not change.any()
            continue
        values = torch.linalg.svdvals(change)
        assert values[rank - 1] > 1e-3
        assert values[rank:].max() < 1e-5  # rounding to float32 alone


def test_at_full_rank_it_is_task_arithmetic(target) -> None:
    found = changes(target, rank=1000, gamma=0.5)
    base = tensors_of(target.subject.reference, target)
    for matrix in block_matrices(target):
        expected = 0.5 * (matrix.parameter.detach().double() - base[matrix.name].double())
        torch.testing.assert_close(found[matrix.name], expected, atol=1e-6, rtol=1e-5)


def test_the_best_of_a_rank_is_as_near_as_can_be() -> None:
    """Eckart and Young: what is left has the norm of the singular values left out."""
    matrix = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).double()
    values = torch.linalg.svdvals(matrix)
    for rank in (1, 3, 5, 9):
        left = (matrix - largest(matrix, rank)).norm()
        torch.testing.assert_close(left, values[rank:].norm(), atol=1e-12, rtol=1e-9)


def test_it_is_one_unit_and_then_shown_without_more_work(target) -> None:
    target.meter.reset()
    run = Lox().run(target, DATA, Seed(0))
    next(run)
    bill = target.meter.spend
    assert bill.flops > 0
    assert (bill.tokens, bill.examples, bill.steps) == (0, 0, 0)
    next(run)
    assert target.meter.spend == bill
    assert next(run, None) is None


def test_without_a_sibling_nothing_is_done() -> None:
    alone = load(toy_folder(sibling=False), device="cpu")
    alone.meter.reset()
    with pytest.raises(SpecError, match="sibling"):
        next(Lox().run(alone, DATA, Seed(0)))
    assert alone.meter.spend.flops == 0
    named = Lox(sibling=str(toy_folder().parent / "unlocked"))
    run = named.run(alone, DATA, Seed(0))
    next(run)  # one named by the user will do
    run.close()


@pytest.mark.parametrize("wrong", [{"gamma": float("nan")}, {"rank": 0}, {"sibling": " "}])
def test_wrong_settings_are_named(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Lox(**wrong)

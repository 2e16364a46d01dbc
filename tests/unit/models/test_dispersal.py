"""One direction counts as one, many as many, and what ends refusal is counted as it is taken."""

import math

import pytest
import torch
from tests.planted import DATA, planted

from holdfast.core import Seed
from holdfast.models.dispersal import (
    Without,
    directions_to_break,
    effective_rank,
    extracted_again,
    spectra,
    spectrum,
    variance_shares,
)
from holdfast.models.refusal_direction import Effect, gather


@pytest.fixture(scope="module")
def lock(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("planted") / "toy")


@pytest.mark.parametrize("k", [1, 2, 5])
def test_equal_values_count_one_by_one(k: int) -> None:
    assert effective_rank(torch.cat([torch.full((k,), 3.0), torch.zeros(4)])) == pytest.approx(k)


def test_unequal_values_count_between() -> None:
    p = torch.tensor([3.0, 1.0]) / 4
    assert effective_rank(torch.tensor([3.0, 1.0])) == pytest.approx(
        math.exp(-(p * p.log()).sum().item())
    )
    torch.testing.assert_close(variance_shares(torch.tensor([3.0, 1.0])), torch.tensor([0.9, 0.1]))


def test_the_spectrum_is_that_of_the_differences() -> None:
    random = torch.Generator().manual_seed(0)
    ones, others = (torch.randn(6, 4, generator=random) for _ in range(2))
    d = (ones - others).double()
    squares = torch.linalg.eigvalsh(d.T @ d).flip(0)
    torch.testing.assert_close(spectrum(ones, others).square(), squares)
    shifted = others + 2.0 * torch.eye(4)[1]  # one direction apart, and no other
    assert effective_rank(spectrum(shifted, others)) == pytest.approx(1.0, abs=1e-4)


def test_spectra_are_of_the_last_token_layer_by_layer(lock) -> None:
    target, refusal = lock
    pairs = [[i.messages for i in items[:12]] for items in (DATA.restricted, DATA.benign)]
    found = spectra(target, *pairs)
    assert found.shape == (target.layers + 1, 12)
    ones, others = (target.residuals(p, [-1])[:, 2, 0] for p in pairs)
    torch.testing.assert_close(found[2], torch.linalg.svdvals((ones - others).double()))
    _, _, right = torch.linalg.svd((ones - others).double(), full_matrices=False)
    assert abs(float(right[0] @ refusal.double())) > 0.95  # behind the block that writes it


def test_one_planted_direction_is_broken_by_one(lock) -> None:
    target, refusal = lock
    evidence = gather(target, DATA, Seed(0), prompts=24, validation=0.5)
    rounds = list(extracted_again(target, evidence, most=3, depth=1.0, kl=10.0))
    assert directions_to_break(rounds) == 1
    first = rounds[0].taken[0].direction
    assert abs(float(first @ refusal.double()) / float(first.norm())) > 0.95


def test_what_is_found_next_has_nothing_of_what_went_before(lock) -> None:
    target, _ = lock
    evidence = gather(target, DATA, Seed(0), prompts=24, validation=0.5)
    for one in extracted_again(target, evidence, most=3, depth=1.0, kl=10.0):
        found = torch.stack([c.direction / c.direction.norm() for c in one.taken])
        products = found @ found.T - torch.eye(len(found))
        assert products.abs().max() < 1e-2


def test_nothing_is_taken_that_harms_more_than_is_allowed(lock) -> None:
    target, _ = lock
    evidence = gather(target, DATA, Seed(0), prompts=24, validation=0.5)
    strict = extracted_again(target, evidence, most=3, depth=1.0, kl=1e-12)
    assert list(strict) == []


def test_it_leaves_no_hook(lock) -> None:
    target, _ = lock
    evidence = gather(target, DATA, Seed(0), prompts=24, validation=0.5)
    ids, mask = target.encode([DATA.restricted[0].messages])
    before = target.logits(ids, mask)
    rounds = extracted_again(target, evidence, most=2, depth=1.0, kl=10.0)
    next(rounds)
    assert torch.equal(target.logits(ids, mask), before)


def test_the_first_round_that_breaks_counts_and_none_if_none_does() -> None:
    def rounds(*refused: float):
        for n, share in enumerate(refused, start=1):
            yield Without((None,) * n, Effect(0.0, 0.0, 0.0, share))

    assert directions_to_break(rounds(1.0, 0.6, 0.5, 0.2)) == 3
    assert directions_to_break(rounds(1.0, 0.6)) is None
    assert directions_to_break(rounds(1.0, 0.6), share=0.7) == 2

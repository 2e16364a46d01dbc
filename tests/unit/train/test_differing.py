"""Which tokens of two answers count, and what they cost, against loops written for this test."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from holdfast.train import IGNORED, Batch, Example, collate
from holdfast.train.differing import mended, published

V = 11
PAD = 9
# question 1 2 3 | answers that share a token, of different lengths, one of them with an id 0
ANSWERED = [Example((1, 2, 3, 4, 5, 0, 8), (IGNORED,) * 3 + (4, 5, 0, 8), "a"),
            Example((1, 2, 6, 8), (IGNORED,) * 2 + (6, 8), "b")]  # fmt: skip
REFUSED = [Example((1, 2, 3, 7, 5, 8), (IGNORED,) * 3 + (7, 5, 8), "a"),
           Example((1, 2, 7, 7, 7, 8), (IGNORED,) * 2 + (7, 7, 7, 8), "b")]  # fmt: skip


@pytest.fixture
def pair():
    return collate(ANSWERED, PAD), collate(REFUSED, PAD)


def logits_of(ids):
    """Some logits (b, t, v) for every position."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(*ids.shape, V, generator=random).requires_grad_()


def test_mended_counts_the_answers_own_tokens(pair) -> None:
    answered, refused = pair
    side = mended(answered, refused, PAD)
    assert side.differs.int().tolist() == [[0, 0, 0, 1, 0, 1, 1], [0, 0, 1, 1, 0, 0, 0]]
    assert side.targets.tolist() == [4, 0, 8, 6, 8]
    other = mended(refused, answered, PAD)
    assert other.differs.int().tolist() == [[0, 0, 0, 1, 0, 1], [0, 0, 1, 1, 1, 1]]


def test_mended_is_cross_entropy_with_ignored_labels_and_logits_untouched(pair) -> None:
    side = mended(*pair, PAD)
    logits = logits_of(side.ids)
    labels = torch.where(side.differs, side.ids, IGNORED)
    expected = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    found = side.loss(logits[side.keep])
    torch.testing.assert_close(found, expected)
    (one,) = torch.autograd.grad(expected, logits)
    (two,) = torch.autograd.grad(found, logits)
    torch.testing.assert_close(one, two)
    assert (two[0, 2] != 0).any(), "the first differing token teaches too"


def as_released(logits, ids, differs):
    """Released masking, position by position: what predicts token t is zeroed unless t - 1 counts."""
    costs = []
    for row in range(len(ids)):
        for t in range(1, ids.shape[1]):
            token = int(ids[row, t])
            if differs[row, t] and token != 0:
                said = logits[row, t - 1] if differs[row, t - 1] else torch.zeros(V)
                costs.append(-said.log_softmax(-1)[token])
    return torch.stack(costs).mean()


def test_published_has_the_released_faults(pair) -> None:
    answered, refused = pair
    for one, other in ((answered, refused), (refused, answered)):
        side = published(one, other, PAD)
        assert side.ids.shape == (2, 7)
        assert side.differs.int().tolist() == [[0, 0, 0, 1, 0, 1, 1], [0, 0, 1, 1, 1, 1, 0]]
        logits = logits_of(side.ids)
        expected = as_released(logits, side.ids, side.differs)
        found = side.loss(logits[side.keep])
        torch.testing.assert_close(found, expected)
        (gradient,) = torch.autograd.grad(found, logits)
        assert (gradient[0, 2] == 0).all(), "the first differing token teaches nothing"
        assert (gradient[1, 1] == 0).all()


def test_published_prices_the_first_differing_token_at_a_blind_guess() -> None:
    one = collate([Example((1, 2, 3), (IGNORED, IGNORED, 3), "a")], PAD)
    other = collate([Example((1, 2, 4), (IGNORED, IGNORED, 4), "a")], PAD)
    side = published(one, other, PAD)
    assert side.loss(logits_of(side.ids)[side.keep]).item() == pytest.approx(math.log(V))


def test_published_learns_padding_where_the_other_is_longer(pair) -> None:
    answered, refused = pair
    side = published(answered, refused, PAD)
    assert side.targets.tolist().count(PAD) == 2  # of the second row; id 0 of the first is left out
    assert 0 not in side.targets.tolist()
    assert side.mask[1].tolist() == [1, 1, 1, 1, 0, 0, 0]


def test_more_padding_changes_nothing(pair) -> None:
    answered, refused = pair

    def wide(batch, n):
        ids = torch.nn.functional.pad(batch.ids, (0, n), value=PAD)
        labels = torch.nn.functional.pad(batch.labels, (0, n), value=IGNORED)
        return Batch(ids, labels, torch.nn.functional.pad(batch.mask, (0, n)), batch.items)

    for mark in (mended, published):
        plain = mark(answered, refused, PAD)
        for a, r in ((3, 0), (0, 4), (5, 5)):
            side = mark(wide(answered, a), wide(refused, r), PAD)
            assert side.targets.tolist() == plain.targets.tolist()
            assert side.keep.nonzero().tolist() == plain.keep.nonzero().tolist()
            assert side.differs.nonzero().tolist() == plain.differs.nonzero().tolist()


def test_padding_that_is_a_real_token_elsewhere_still_differs() -> None:
    one = collate([Example((1, 4, PAD), (IGNORED, 4, PAD), "a")], PAD)  # ends with the pad token
    other = collate([Example((1, 5), (IGNORED, 5), "a")], PAD)
    assert mended(one, other, PAD).targets.tolist() == [4, PAD]

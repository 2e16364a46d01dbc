"""Two answers to one question, row by row: what of them differs, and what is learned of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from holdfast.train.examples import IGNORED, Batch


@dataclass(frozen=True)
class Marked:
    """A batch, and which of its tokens count.

    Shapes: ids, mask (b, t) int64. keep (b, t) bool, n positions that predict; targets (n,) int64,
    the tokens that they predict; live (n,) bool, False where logits are held at zero, None where
    none are. differs (b, t) bool, the tokens that the other answer does not have.
    """

    ids: Tensor
    mask: Tensor
    keep: Tensor
    targets: Tensor
    live: Tensor | None
    differs: Tensor

    def loss(self, logits: Tensor) -> Tensor:
        """Mean cross-entropy of logits (n, v), () float32."""
        logits = logits.float()
        if self.live is not None:
            logits = logits * self.live[:, None].to(logits.device)
        return cross_entropy(logits, self.targets.to(logits.device))


def mended(batch: Batch, other: Batch, fill: int) -> Marked:
    """The answer's tokens that differ from what stands there in `other`; padding never counts.

    A token counts as differing too where the other answer has ended. All logits are the model's.
    """
    length = batch.ids.shape[1]
    there, real = _widened(other, length, fill)
    differs = ((batch.ids != there[:, :length]) | (real[:, :length] == 0)) & (
        batch.labels != IGNORED
    )
    keep = _before(differs)
    return Marked(batch.ids, batch.mask, keep, batch.ids[differs], None, differs)


def published(batch: Batch, other: Batch, fill: int) -> Marked:
    """The same as the released code of arXiv:2405.14577 has it, faults included.

    Both answers are padded to one length, and padding counts as differing where one is longer.
    Logits are zeroed where the predicting token is shared: so the first differing token costs
    ln v whatever the model says. A token of id 0 is not learned.
    """
    length = max(batch.ids.shape[1], other.ids.shape[1])
    (ids, mask), (there, _) = _widened(batch, length, fill), _widened(other, length, fill)
    differs = ids != there
    learned = differs & (ids != 0)
    learned[:, 0] = False  # nothing comes before it
    keep = _before(learned)
    return Marked(ids, mask, keep, ids[learned], differs[keep], differs)


def _before(tokens: Tensor) -> Tensor:
    """The position before each of `tokens` (b, t) bool, none of them the first: it predicts it."""
    return tokens.roll(-1, 1)


def _widened(batch: Batch, length: int, fill: int) -> tuple[Tensor, Tensor]:
    """Ids and mask (b, t) with the padding `fill` added up to `length`."""
    more = max(0, length - batch.ids.shape[1])
    return pad(batch.ids, (0, more), value=fill), pad(batch.mask, (0, more))

"""Merging with the never-aligned sibling (Ilharco et al. 2023), without any data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from holdfast.core import Access, Info, Seed, Space, SpecError
from holdfast.core.checks import require_finite, require_name, require_one_of
from holdfast.domains import AttackerData
from holdfast.models import Handle
from holdfast.models.mixing import linear, mixed, spherical, tensors_of

_MIXES = {"arithmetic": linear, "slerp": spherical}


@final
@dataclass(frozen=True, kw_only=True)
class Merge:
    """Move every weight a share alpha of the way to a sibling that was never aligned.

    How:     arithmetic: W + alpha (W_sibling - W), so alpha 0 is the target, 1 the sibling, and
             above 1 the aligned change is reversed. slerp: along the arc between the two
             tensors' directions, tensor by tensor. No data, no gradient.
    Units:   one mixture, the whole model. It costs no example, no token and no query, but a
             sibling to be had: `sibling` names a checkpoint, the target's own reference unless
             given.
    Raises:  SpecError where there is no sibling, or one of other tensors.
    Paper:   arXiv:2212.04089
    Differs: the task vector is that of alignment, negated; one for the whole model.
    """

    info: ClassVar[Info] = Info(
        version=1,
        access=Access.WEIGHTS,
        paper="arXiv:2212.04089",
        unit="mixture",
        budget=2,  # one more than it uses, so that it ends by itself
        needs=("sibling",),
    )
    method: str = "arithmetic"
    alpha: float = 1.0
    sibling: str | None = None

    def __post_init__(self) -> None:
        require_one_of(self, "method", tuple(_MIXES))
        require_finite(self, "alpha")
        require_name(self, "sibling")

    def run(self, target: Handle, data: AttackerData, seed: Seed) -> Iterator[Handle]:  # noqa: ARG002
        """Yield the mixture, once."""
        name = self.sibling or target.subject.reference
        if name is None:
            raise SpecError(
                f"a never-aligned sibling of {target.name!r} to merge with",
                found="none that its checkpoint names",
                remedy="Give merge:sibling=NAME, or put `reference` into holdfast.json.",
            )
        edits = mixed(target, tensors_of(name, target), _MIXES[self.method], self.alpha)
        with target.edited(edits):
            yield target

    @classmethod
    def space(cls) -> Space:
        """Both ways, and how far to go, beyond the sibling too."""
        return Space(
            grid={"method": tuple(_MIXES), "alpha": (0.25, 0.5, 0.75, 1.0, 1.5)},
            ranges={"alpha": (0.1, 1.5, "linear")},
        )

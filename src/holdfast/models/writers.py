"""The matrices that write into the residual stream, and the edit that silences a direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from holdfast.core import SpecError
from holdfast.models.anatomy import Anatomy, Branch, Kind
from holdfast.models.directions import unit


@dataclass(frozen=True)
class Writer:
    """One matrix whose output enters the residual stream.

    Attributes:
        name: of `parameter` in the model. kind: what it belongs to. layer: -1 for embeddings.
        axis: of `parameter` along which the stream lies (d entries).
        bias, bias_name: added to the output, None where there is none.
        norm: the module between this output and the stream, None where it goes in directly.
    """

    name: str
    parameter: nn.Parameter
    kind: Kind
    layer: int
    axis: int
    bias: nn.Parameter | None
    bias_name: str | None
    norm: nn.Module | None


def find_writers(model: nn.Module, anatomy: Anatomy) -> list[Writer]:
    """Every writer: embeddings first, then block by block.

    Raises:
        SpecError: a branch that ends in something other than one matrix.
    """
    names: dict[Any, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, name)
    return [_writer(branch, names) for branch in anatomy.branches]


def _writer(branch: Branch, names: dict[Any, str]) -> Writer:
    module = branch.writer
    if module is None:
        place = f"block {branch.layer}'s {branch.kind}" if branch.layer >= 0 else "the embeddings"
        raise SpecError(
            "branches that each end in one matrix",
            found=f"{place} ending in a {type(branch.end).__name__}"
            if branch.end is not None
            else f"a constant or a bare product added to {place}",
            remedy="Edits of the writers do not reach it (a mixture of experts, for one).",
        )
    weight = cast("nn.Parameter", module.weight)
    bias = cast("nn.Parameter | None", getattr(module, "bias", None))
    # A Linear's weight is (out, in); rows of an embedding lie in the stream, as columns of a
    # Conv1D (in, out) do.
    axis = 0 if isinstance(module, nn.Linear) else 1
    return Writer(
        names[weight], weight, branch.kind, branch.layer, axis,
        bias, None if bias is None else names[bias], branch.norm,
    )  # fmt: skip


def orthogonalised(model: nn.Module, anatomy: Anatomy, direction: Tensor) -> dict[str, Tensor]:
    """New values for every writer, such that none writes along `direction` (d,) any more.

    How: W <- W - u u^T W and b <- b - u u^T b in float64, with u the unit direction r. Where a
    norm with gain g stands between writer and stream (Gemma 2 and 3, OLMo 2), what enters the
    stream is g * y / rms(y), so u is g * r at length one: the smallest change to W that makes
    r^T (g * y) vanish.

    Exact, up to the dtype's rounding: afterwards the stream has no component along r, in every
    family. The same function as ablating with hooks: where writers go in directly and the
    unembedding is not tied. Behind a norm it is not, since the norm then rescales what is left;
    with tied embeddings the edit also takes r out of the unembedding.

    Paper: arXiv 2406.11717. Differs: biases are edited too.
    """
    r = unit(direction).cpu()
    edits: dict[str, Tensor] = {}
    for writer in find_writers(model, anatomy):
        u = r if writer.norm is None else unit(_through(writer.norm, r))
        edits[writer.name] = _project(writer.parameter, u, writer.axis)
        if writer.bias is not None and writer.bias_name is not None:
            edits[writer.bias_name] = _project(writer.bias, u, 0)
        shift = getattr(writer.norm, "bias", None)
        if writer.norm is not None and isinstance(shift, nn.Parameter):
            name = next(n for n, p in model.named_parameters() if p is shift)
            edits[name] = _project(shift, r, 0)
    return edits


def _project(values: Tensor, u: Tensor, axis: int) -> Tensor:
    """`values` less their component along u (d,) on `axis`, in their own dtype."""
    wide = values.detach().to(torch.float64, copy=True)
    u = u.to(wide.device)
    if wide.ndim == 2 and axis == 0:
        wide -= torch.outer(u, u @ wide)
    else:
        wide -= (wide @ u)[..., None] * u
    return wide.to(values.dtype)


@torch.no_grad()
def _through(norm: nn.Module, r: Tensor) -> Tensor:
    """The vector v (d,) float64 with r^T norm(y) proportional to v^T y, its shift aside.

    The gain is read off the norm's own answers, however it stores it: a vector of alternating
    signs has mean 0 and mean square 1, so the norm returns it times the gain.
    """
    like = next(norm.parameters())
    signs = torch.ones(len(r), device=like.device, dtype=like.dtype)
    signs[1::2] = -1
    gain = (signs * (norm(signs[None]) - norm(-signs[None]))[0] / 2).double().cpu()
    v = gain * r
    lifted = norm(signs[None] + 1)
    centres = torch.allclose(lifted, norm(signs[None]), rtol=1e-3, atol=1e-4)
    return v - v.mean() if centres else v

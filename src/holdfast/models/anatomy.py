"""What a decoder is made of, found by watching one small forward pass and not by its name.

How: a three-token pass is recorded with the autograd graph alive. The blocks are the longest chain
of sibling modules that hand (b, t, d) states to one another. From the last block's output the graph
is then walked back over its additions: whatever was added is a *branch*, and the matrix that made
it is a *writer* of the residual stream. A branch whose output depends on earlier positions of its
input is attention; the other is the MLP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from holdfast.core import SpecError

Kind = Literal["embedding", "attention", "mlp"]
EMBEDDING_LAYER = -1
_ORDER = ("embedding", "attention", "mlp")


@dataclass(frozen=True)
class Branch:
    """One term of the residual stream.

    Attributes:
        layer: index of its block, -1 for embeddings.
        end: the module whose output is added (up to a constant factor): `norm`, else `writer`.
        writer: the linear layer or embedding that made it, None where there is none to be found
            (a mixture of experts).
        norm: the norm between writer and addition, as Gemma and OLMo 2 have it.
    """

    layer: int
    kind: Kind
    end: nn.Module
    writer: nn.Module | None
    norm: nn.Module | None


@dataclass(frozen=True)
class Anatomy:
    """The parts of a model that attacks and the meter speak of.

    Attributes:
        blocks: the decoder's blocks in order. width: d, the size of the residual stream.
        branches: all terms of the stream, embeddings first.
        unfed: names of the first block's matrices that read nothing another matrix wrote; with
            the embeddings frozen, no gradient flows into their inputs.
    """

    blocks: tuple[nn.Module, ...]
    width: int
    branches: tuple[Branch, ...]
    unfed: frozenset[str]


@dataclass
class _Call:
    """One module's run: the states it took (b, t, d) or None, and what it gave."""

    taken: Tensor | None
    given: Tensor


def first_states(arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[int | str, Tensor]:
    """Where among a module's arguments its (b, t, d) states are, and the states themselves."""
    for key, value in [*enumerate(arguments), *named.items()]:
        if isinstance(value, Tensor) and value.ndim == 3 and value.is_floating_point():
            return key, value
    raise LookupError("no states among the arguments")


def first_tensor(output: Any) -> Any:
    """A module's output, or the first entry where it gives several."""
    return output[0] if isinstance(output, tuple) else output


def is_matrix(module: nn.Module) -> bool:
    """Whether a module is one matrix product: a Linear, or GPT-2's Conv1D with its transpose."""
    weight = getattr(module, "weight", None)
    return (
        isinstance(weight, Tensor)
        and weight.ndim == 2
        and not isinstance(module, nn.Embedding)
        and not list(module.children())
    )


def examine(model: nn.Module) -> Anatomy:
    """The anatomy of a decoder; leaves flags, buffers and weights as they were.

    Raises:
        SpecError: the model has no chain of blocks over one residual stream.
    """
    calls = _record(model)
    blocks = _blocks(model, calls)
    stream = calls[blocks[-1]].given
    layers = {m: i for i, block in enumerate(blocks) for m in block.modules()}
    producers: dict[Any, nn.Module] = {}
    for module, call in calls.items():  # in order of completion: inner modules come first
        producers.setdefault(call.given.grad_fn, module)
    branches: list[Branch] = []
    for end, writer, norm in _terms(stream.grad_fn, producers, calls):
        layer = layers.get(writer or end, EMBEDDING_LAYER)
        kind: Kind = "embedding"
        if layer != EMBEDDING_LAYER:
            kind = _kind(blocks[layer], writer or end, calls)
        branches.append(Branch(layer, kind, end, writer, norm))
    branches.sort(key=lambda b: (b.layer, _ORDER.index(b.kind)))
    width = stream.shape[-1]
    return Anatomy(blocks, width, tuple(branches), _unfed(blocks[0], calls, model))


def _record(model: nn.Module) -> dict[nn.Module, _Call]:
    """Every module's first call in one pass over three tokens, in order of completion."""
    calls: dict[nn.Module, _Call] = {}

    def keep(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        given = first_tensor(output)
        if module in calls or not isinstance(given, Tensor):
            return
        try:
            taken = first_states(args, named)[1]
        except LookupError:
            taken = None
        calls[module] = _Call(taken, given)

    weights = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    flags = [(w, w.requires_grad) for w in weights]
    hooks = [m.register_forward_hook(keep, with_kwargs=True) for m in model.modules()]
    device = next(model.parameters()).device
    try:
        for weight in weights:
            weight.requires_grad_(True)
        with torch.enable_grad():
            ids = torch.zeros((1, 3), dtype=torch.int64, device=device)
            model(input_ids=ids, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
        for weight, flag in flags:
            weight.requires_grad_(flag)
    return calls


def _blocks(model: nn.Module, calls: dict[nn.Module, _Call]) -> tuple[nn.Module, ...]:
    """The longest list of sibling modules in which each takes what the one before it gave."""
    longest: tuple[nn.Module, ...] = ()
    for group in model.modules():
        if not isinstance(group, nn.ModuleList):
            continue
        chain = tuple(group)
        if len(chain) > len(longest) and _is_chain(chain, calls):
            longest = chain
    if not longest:
        raise SpecError(
            "a decoder whose blocks pass one residual stream on",
            found=f"none in a {type(model).__name__}",
            remedy="holdfast audits decoder-only transformers.",
        )
    return longest


def _is_chain(chain: tuple[nn.Module, ...], calls: dict[nn.Module, _Call]) -> bool:
    if any(m not in calls or calls[m].taken is None for m in chain):
        return False
    runs = [calls[m] for m in chain]
    return all(
        before.given.shape == cast("Tensor", after.taken).shape
        and before.given.grad_fn is cast("Tensor", after.taken).grad_fn
        for before, after in pairwise(runs)
    )


def _terms(
    node: Any, producers: dict[Any, nn.Module], calls: dict[nn.Module, _Call]
) -> Iterator[tuple[nn.Module, nn.Module | None, nn.Module | None]]:
    """(end, writer, norm) of every term added into `node`, the latest first."""
    seen: set[Any] = set()
    ahead: list[tuple[Any, nn.Module | None]] = [(node, None)]
    while ahead:
        node, norm = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        module = producers.get(node)
        if module is not None and (is_matrix(module) or isinstance(module, nn.Embedding)):
            yield norm or module, module, norm
            continue
        taken = calls[module].taken if module is not None else None
        if module is not None and norm is None and taken is not None and _is_norm(module):
            ahead.append((taken.grad_fn, module))
            continue
        feeds = [fn for fn, _ in node.next_functions if fn is not None]
        if len(feeds) == 1 or (node.name().startswith("AddBackward") and norm is None):
            ahead.extend((fn, norm) for fn in feeds)
        elif norm is not None or module is not None:
            yield cast("nn.Module", norm or module), None, norm


def _is_norm(module: nn.Module) -> bool:
    """Whether a module rescales states feature by feature: no children, only vectors to learn."""
    return not list(module.children()) and all(p.ndim == 1 for p in module.parameters())


def _kind(block: nn.Module, part: nn.Module, calls: dict[nn.Module, _Call]) -> Kind:
    """Attention where the branch's last position depends on the first of what it reads."""
    for child in block.children():
        if not any(m is part for m in child.modules()) or child not in calls:
            continue
        call = calls[child]
        if call.taken is None:
            return "mlp"
        (grad,) = torch.autograd.grad(call.given[0, -1].sum(), call.taken, retain_graph=True)
        return "attention" if bool((grad[0, 0] != 0).any()) else "mlp"
    return "mlp"


def _unfed(block: nn.Module, calls: dict[nn.Module, _Call], model: nn.Module) -> frozenset[str]:
    """Names of the block's matrices whose input no other of its matrices has touched."""
    matrices = [m for m in block.modules() if is_matrix(m) and m in calls]
    outputs = {calls[m].given.grad_fn for m in matrices}
    names = {module: name for name, module in model.named_modules()}
    unfed: set[str] = set()
    for matrix in matrices:
        taken = calls[matrix].taken
        if taken is not None and not _reaches(taken.grad_fn, outputs):
            unfed.add(names[matrix])
    return frozenset(unfed)


def _reaches(node: Any, goals: set[Any]) -> bool:
    seen: set[Any] = set()
    ahead = [node]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        if node in goals:
            return True
        seen.add(node)
        ahead.extend(fn for fn, _ in node.next_functions)
    return False

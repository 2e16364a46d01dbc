"""What a decoder is made of, found by watching one small forward pass and not by its name.

How: a three-token pass is recorded with the autograd graph alive. The blocks are the longest chain
of sibling modules that hand (b, t, d) states to one another. From each block's output the graph is
then walked back over additions to the block's input: whatever was added on the way is a *branch*,
and the matrix that made it is a *writer* of the residual stream. A branch whose output depends on
earlier positions of its input is attention; the other is the MLP. What cannot be followed is kept
as a branch without a writer, so that nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from holdfast.core import SpecError

Kind = Literal["embedding", "attention", "mlp"]
EMBEDDING_LAYER = -1
_ORDER = ("embedding", "attention", "mlp")

# Graph nodes that hand one input on, entry by entry, at most reshaped or times one number.
_PASSING = ("View", "UnsafeView", "ReshapeAlias", "Alias", "ToCopy", "Clone", "Squeeze",
            "Unsqueeze", "Expand", "Transpose", "Permute", "T", "NativeDropout")  # fmt: skip


@dataclass(frozen=True)
class Branch:
    """One term of the residual stream.

    Attributes:
        layer: index of its block, -1 for embeddings.
        end: the module whose output is added, up to a constant factor; None where a term comes
            from no module (a constant, a bare product).
        writer: the linear layer or embedding that made it, None where there is none to be found
            (a mixture of experts).
        norm: the norm between writer and addition, as Gemma and OLMo 2 have it.
    """

    layer: int
    kind: Kind
    end: nn.Module | None
    writer: nn.Module | None
    norm: nn.Module | None


@dataclass(frozen=True)
class Anatomy:
    """The parts of a model that attacks and the meter speak of.

    Attributes:
        blocks: the decoder's blocks in order.
        width: d, the size of the residual stream.
        branches: all terms of the stream, embeddings first.
        unfed: names of the first block's matrices that read nothing another matrix wrote; with
            the embeddings frozen, no gradient flows into their inputs.
    """

    blocks: tuple[nn.Module, ...]
    width: int
    branches: tuple[Branch, ...]
    unfed: frozenset[str]


@dataclass(frozen=True)
class _Call:
    """One module's run: where in the graph its states (b, t, d) came from and went to.

    Not the tensors themselves: a later operation in place would give them another node.

    Attributes:
        taken: the edge of its input, None where it takes no states that carry a gradient.
        given: the edge of its output.
        shape: of its output.
    """

    taken: GradientEdge | None
    given: GradientEdge
    shape: torch.Size

    @property
    def source(self) -> Any:
        """The graph node of its input."""
        return None if self.taken is None else self.taken.node

    @property
    def node(self) -> Any:
        """The graph node of its output."""
        return self.given.node


@dataclass(frozen=True)
class _Term:
    """A branch before it has a place: see `Branch`."""

    end: nn.Module | None
    writer: nn.Module | None
    norm: nn.Module | None


Calls = dict[nn.Module, _Call]


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
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def examine(model: nn.Module) -> Anatomy:
    """The anatomy of a decoder; leaves flags, buffers and weights as they were.

    Raises:
        SpecError: the model has no chain of blocks over one residual stream.
    """
    calls = _record(model)
    blocks = _blocks(model, calls)
    producers: dict[Any, nn.Module] = {}
    for module, call in calls.items():  # in order of completion: inner modules come first
        if module not in blocks:  # a block's output is the stream, not a term of it
            producers.setdefault(call.node, module)
    start = calls[blocks[0]].source
    branches = [
        Branch(EMBEDDING_LAYER, "embedding", t.end, t.writer, t.norm)
        for t in _terms(start, None, producers, calls)
    ]
    for layer, block in enumerate(blocks):
        for t in _terms(calls[block].node, calls[block].source, producers, calls):
            branches.append(Branch(layer, _kind(block, t, calls), t.end, t.writer, t.norm))
    branches.sort(key=lambda b: (b.layer, _ORDER.index(b.kind)))
    width = calls[blocks[-1]].shape[-1]
    return Anatomy(blocks, width, tuple(branches), _unfed(blocks[0], calls, model))


def _record(model: nn.Module) -> Calls:
    """Every module's first call in one pass over three tokens, in order of completion."""
    calls: Calls = {}

    def keep(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        given = first_tensor(output)
        if module in calls or not isinstance(given, Tensor) or not given.requires_grad:
            return
        try:
            states = first_states(args, named)[1]
            taken = get_gradient_edge(states) if states.requires_grad else None
        except LookupError:
            taken = None
        calls[module] = _Call(taken, get_gradient_edge(given), given.shape)

    weights = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    flags = [(w, w.requires_grad) for w in weights]
    hooks = [m.register_forward_hook(keep, with_kwargs=True) for m in model.modules()]
    device = next(model.parameters()).device
    try:
        for weight in weights:
            weight.requires_grad_(True)
        with torch.enable_grad():
            ids = torch.zeros((1, 3), dtype=torch.int64, device=device)
            model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
        for weight, flag in flags:
            weight.requires_grad_(flag)
    return calls


def _blocks(model: nn.Module, calls: Calls) -> tuple[nn.Module, ...]:
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


def _is_chain(chain: tuple[nn.Module, ...], calls: Calls) -> bool:
    if any(m not in calls or calls[m].source is None for m in chain):
        return False
    runs = [calls[m] for m in chain]
    return all(before.node is after.source for before, after in pairwise(runs))


def _terms(node: Any, stop: Any, producers: dict[Any, nn.Module], calls: Calls) -> Iterator[_Term]:
    """Everything added into `node` since `stop`, the latest first.

    A path runs from an addition down to what was added. On it, the first module met is the
    term's end, and at most one norm may stand before the writer.
    """
    seen: set[Any] = {stop}
    ahead: list[tuple[Any, nn.Module | None, nn.Module | None]] = [(node, None, None)]
    while ahead:
        node, end, norm = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        module = producers.get(node)
        if module is not None and (is_matrix(module) or isinstance(module, nn.Embedding)):
            yield _Term(end or module, module, norm)
        elif module is not None and norm is None and _is_norm(module, calls[module]):
            ahead.append((calls[module].source, end or module, module))
        elif _adds(node) and norm is None:
            # an operand without a node is a constant, which nothing can be traced to
            yield from (_Term(None, None, None) for fn, _ in node.next_functions if fn is None)
            ahead.extend((fn, None, None) for fn, _ in node.next_functions)
        elif _passes(node):
            ahead.append((node.next_functions[0][0], end or module, norm))
        else:
            yield _Term(end or module, None, norm)


def _adds(node: Any) -> bool:
    """Whether a node is the sum of two tensors; adding a number has one operand only."""
    return node.name().startswith("AddBackward") and len(node.next_functions) == 2


def _passes(node: Any) -> bool:
    """Whether a node hands its first input on, entry by entry, at most times one number."""
    kind = node.name().partition("Backward")[0]
    if kind in ("Mul", "Div"):
        factor = node._saved_other
        return factor is None or factor.numel() == 1
    return kind in _PASSING


def _is_norm(module: nn.Module, call: _Call) -> bool:
    """Whether a module rescales states feature by feature: no children, only vectors to learn."""
    vectors = [p.ndim == 1 for p in module.parameters()]
    moved = call.node is not call.source and call.source is not None
    return moved and all(vectors) and bool(vectors) and not list(module.children())


def _kind(block: nn.Module, term: _Term, calls: Calls) -> Kind:
    """Attention where the branch's last position depends on the first of what it reads."""
    part = term.writer or term.end
    parameter = next(block.parameters())
    dtype, device = parameter.dtype, parameter.device
    for child in block.children():
        call = calls.get(child)
        if call is None or call.taken is None or all(m is not part for m in child.modules()):
            continue
        last = torch.zeros(call.shape, dtype=dtype, device=device)
        last[0, -1] = 1.0
        found: Any = torch.autograd.grad(
            call.given, call.taken, last, retain_graph=True, allow_unused=True
        )
        if found[0] is not None and bool((found[0][0, 0] != 0).any()):
            return "attention"
    return "mlp"


def _unfed(block: nn.Module, calls: Calls, model: nn.Module) -> frozenset[str]:
    """Names of the block's matrices whose input no other of its matrices has touched."""
    matrices = [m for m in block.modules() if is_matrix(m) and m in calls]
    outputs = {calls[m].node for m in matrices}
    names = {module: name for name, module in model.named_modules()}
    return frozenset(names[m] for m in matrices if not _reaches(calls[m].source, outputs))


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

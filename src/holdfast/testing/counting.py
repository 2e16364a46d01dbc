"""What passes through a model, counted from outside and without its meter."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

Products = Literal["none", "passes", "all"]
"""Which matrix products are counted: those of passes, or those of the method's own as well."""

_WITHOUT_FORMULA = re.compile("linalg_(?!.*norm)|cdist")  # operators that torch cannot count

_PROBE = (1, 3)  # zeros in this shape are how `models` finds a model's parts, on nobody's bill


@dataclass
class Count:
    """What was seen so far. A copy of a watched model is watched as well.

    Attributes:
        tokens: that entered the model. queries: sequences that did without a gradient.
        backward: passes. steps: of torch's optimisers.
        flops: of the matrix products that were to be counted.
        without_formula: operators that ran beside the passes and that torch cannot count.
        inputs: the rows of token ids, pass by pass; none where embeddings were put in.
    """

    tokens: int = 0
    queries: int = 0
    backward: int = 0
    steps: int = 0
    flops: float = 0.0
    without_formula: set[str] = field(default_factory=set[str])
    inputs: list[list[list[int]]] = field(default_factory=list[list[list[int]]])

    def __deepcopy__(self, _: object) -> Self:
        """Itself: the hooks of a copied model count here too."""
        return self

    @contextmanager
    def watching(self, model: Any, products: Products = "none") -> Generator[None]:
        """Counts all that happens inside; `products` too where asked, which is slower.

        Attention is done with plain matrix products meanwhile: fused ones cannot be counted.
        """
        with ExitStack() as stack:
            stack.callback(register_optimizer_step_post_hook(self._stepped).remove)
            hook = model.register_forward_pre_hook(self._entered, with_kwargs=True)
            stack.callback(hook.remove)
            counter = _Products(self)
            if products == "passes":
                stack.enter_context(counter.of_passes(model))
            elif products == "all":
                stack.enter_context(_eager(model))
                stack.enter_context(counter)
            for name in ("backward", "grad"):
                inside = counter if products == "passes" else nullcontext()
                stack.enter_context(self._passed_back(name, inside))
            yield

    def _entered(self, _: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named.get("input_ids", arguments[0] if arguments else None)
        if ids is not None and ids.shape == _PROBE and not ids.any():
            return
        entered = named["inputs_embeds"][..., 0] if ids is None else ids
        self.tokens += entered.numel()
        cache = named.get("past_key_values")
        if not torch.is_grad_enabled() and (cache is None or not cache.get_seq_length()):
            self.queries += len(entered)
        if ids is not None:
            self.inputs.append(ids.tolist())

    def _stepped(self, *_: Any) -> None:
        self.steps += 1

    @contextmanager
    def _passed_back(self, name: str, counter: AbstractContextManager[Any]) -> Generator[None]:
        """`torch.autograd.backward` or `grad` with our counting around it."""
        original: Callable[..., Any] = getattr(torch.autograd, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.backward += 1
            with counter:
                return original(*arguments, **named)

        setattr(torch.autograd, name, counted)
        try:
            yield
        finally:
            setattr(torch.autograd, name, original)


class _Products(TorchDispatchMode):
    """Adds up what torch's own formulas say of the matrix products that run inside."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self._count = count

    @contextmanager
    def of_passes(self, model: Any) -> Generator[None]:
        """Counts within the model's own passes, and nothing between them."""
        begin = model.register_forward_pre_hook(self._begin)
        end = model.register_forward_hook(self._end, always_call=True)
        try:
            with _eager(model):
                yield
        finally:
            begin.remove()
            end.remove()

    def _begin(self, *_: Any) -> None:
        self.__enter__()

    def _end(self, *_: Any) -> None:
        self.__exit__(None, None, None)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs `func` and counts it if it is a product."""
        del types
        out = func(*args, **(kwargs or {}))
        operator = func._overloadpacket
        formula = flop_registry.get(operator)
        if formula is not None:
            self._count.flops += formula(*args, **(kwargs or {}), out_val=out)
        elif _WITHOUT_FORMULA.search(operator.__name__):
            self._count.without_formula.add(operator.__name__)
        return out


@contextmanager
def _eager(model: Any) -> Generator[None]:
    """Attention in plain matrix products."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)

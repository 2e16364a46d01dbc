"""How restricted questions are put to the model: what an attacker at the prompt may change."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from holdfast.core import Message, Seed, SpecError
from holdfast.models.chat import Chat, Prompt


@dataclass(frozen=True, eq=False)
class Asking:
    """One way to ask. Everything that is left out is as in a plain question.

    Attributes:
        rewrite: the chat as asked for -> the chat as put.
        prefill: words put into the model's mouth; no part of the completion's text.
        temperature, top_p, seed: how answers are drawn; 0 takes the likeliest token each time.
        tries, wanted: a drawn answer of which `wanted` says no is drawn anew, until it is one or
            so many have been drawn; it judges the text that is scored.
        soft: (k, d) embeddings at the end of the last user turn, before the template's tail.
        form: the chat as put -> the text that the model reads, in place of its own template's;
            behind the mark of a text's beginning where the template opens with one.
        reading: the completion's text -> the text that is scored, e.g. without a warning that
            the model was made to begin with.
    """

    rewrite: Callable[[Prompt], Prompt] | None = None
    prefill: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: Seed | None = None
    tries: int = 1
    wanted: Callable[[str], bool] | None = None
    soft: Tensor | None = None
    reading: Callable[[str], str] | None = None
    form: Callable[[Prompt], str] | None = None

    def __post_init__(self) -> None:
        check_sampling(self.temperature, self.top_p, self.seed)
        if self.form is not None and self.soft is not None:
            raise SpecError(
                "soft tokens in the model's own chat template, whose tail tells their place",
                found="a chat put in another format",
                remedy="Combine attacks of which one leaves the embeddings or the format alone.",
            )


_T = TypeVar("_T")


def compose(outer: Asking, inner: Asking) -> Asking:
    """How `inner` asks where `outer` is in force: it asks the model that `outer` makes of ours.

    So the chat goes through `inner`, then `outer`; the words put into the model's mouth are
    `outer`'s, then `inner`'s; the text that comes back is read in that order too. `inner` draws
    as it says, or as `outer` does where it leaves that out. The format is that of either.

    Raises:
        SpecError: both have soft tokens, for which there is one place, or both a format; or one
            has soft tokens and the other a format.
    """
    if outer.soft is not None and inner.soft is not None:
        raise SpecError(
            "soft tokens in one way of asking at most",
            found="two of them, one inside the other",
            remedy="Combine attacks of which one leaves the embeddings alone.",
        )
    if outer.form is not None and inner.form is not None:
        raise SpecError(
            "one format of the chat at most in one way of asking",
            found="two of them, one inside the other",
            remedy="Combine attacks of which one leaves the format alone.",
        )
    drawn = inner if inner.temperature > 0.0 else outer
    return Asking(
        rewrite=_one_after_another(inner.rewrite, outer.rewrite),
        prefill=outer.prefill + inner.prefill,
        temperature=drawn.temperature,
        top_p=drawn.top_p,
        seed=drawn.seed,
        tries=drawn.tries,
        wanted=drawn.wanted,
        soft=inner.soft if outer.soft is None else outer.soft,
        reading=_one_after_another(outer.reading, inner.reading),
        form=inner.form if outer.form is None else outer.form,
    )


def _one_after_another(
    one: Callable[[_T], _T] | None, other: Callable[[_T], _T] | None
) -> Callable[[_T], _T] | None:
    if one is None or other is None:
        return one or other
    return lambda given: other(one(given))


def wanted(asking: Asking | None, text: str) -> bool:
    """Whether an answer will do; any will where nothing is said of it."""
    return asking is None or asking.wanted is None or asking.wanted(text)


def check_sampling(temperature: float, top_p: float, seed: Seed | None) -> None:
    """Refuse settings of sampling that cannot be.

    Raises:
        SpecError: a negative temperature, a nucleus without mass, no seed to sample with.
    """
    if temperature < 0.0 or not 0.0 < top_p <= 1.0:
        raise SpecError(
            "a temperature of 0 or more and 0 < top_p <= 1",
            found=f"{temperature} and {top_p}",
            remedy="Correct the setting.",
        )
    if temperature > 0.0 and seed is None:
        raise SpecError("a seed for sampling", found="none", remedy="Pass seed=.")


def tail_ids(chat: Chat) -> tuple[int, ...]:
    """The tokens that the template puts behind every instruction; at least one."""
    one, other = (chat.prompt_ids([Message("user", text)]) for text in ("A", "b"))
    shared = 0
    while shared < min(len(one), len(other)) and one[-1 - shared] == other[-1 - shared]:
        shared += 1
    return one[-max(shared, 1) :]


def put(chat: Chat, prompt: Prompt, asking: Asking | None) -> tuple[int, ...]:
    """The tokens of a prompt as it is put: rewritten, with room for soft tokens, prefilled."""
    if asking is None:
        return chat.prompt_ids(prompt)
    said = asking.rewrite(prompt) if asking.rewrite else prompt
    ids = chat.prompt_ids(said) if asking.form is None else chat.opened_ids(asking.form(said))
    if asking.soft is not None:
        cut = len(ids) - len(tail_ids(chat))
        ids = ids[:cut] + (filler(chat, asking),) * len(asking.soft) + ids[cut:]
    return ids + (chat.text_ids(asking.prefill) if asking.prefill else ())


def filler(chat: Chat, asking: Asking) -> int:
    """A token that holds the places of soft ones: special where there is one, never behind them."""
    behind = {*tail_ids(chat), *chat.text_ids(asking.prefill), *chat.stops, chat.pad}
    special: Sequence[int] = sorted(chat.tokenizer.added_tokens_decoder)
    return next(i for i in (*special, *range(len(behind) + 1)) if i not in behind)


@contextmanager
def embedded(model: Any, chat: Chat, asking: Asking, active: Callable[[], bool]) -> Generator[None]:
    """Soft tokens stand in the places that `put` keeps for them, wherever `active` says so."""
    if asking.soft is None:
        yield
        return
    soft, held = asking.soft, filler(chat, asking)

    def change(_: nn.Module, arguments: tuple[Tensor, ...], states: Tensor) -> Tensor:
        if not active():
            return states
        return _with_soft(states, arguments[0] == held, soft)

    hook = model.get_input_embeddings().register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()


def _with_soft(states: Tensor, held: Tensor, soft: Tensor) -> Tensor:
    """`states` (b, t, d) with `soft` (k, d) in each row's last run of k held places (b, t)."""
    k = len(soft)
    if held.shape[1] < k:
        return states  # a decoding step: the prompt has been read
    runs = held.unfold(1, k, 1).all(-1)
    rows = runs.any(1).nonzero()[:, 0]
    starts = runs.shape[1] - 1 - runs.flip(1).int().argmax(1)[rows]
    places = starts[:, None] + torch.arange(k, device=held.device)
    return states.index_put(
        (rows[:, None], places), soft.to(states.device, states.dtype)[None].expand(len(rows), k, -1)
    )

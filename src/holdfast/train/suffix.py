"""One piece of text behind every restricted question, searched token by token.

A suffix is a tuple of token ids whose text, put behind the last turn and rendered with it, is
tokenised to these very ids again, in every prompt. So what was searched is what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from holdfast.core import Item, SpecError, counted
from holdfast.models import Asking, Chat, Handle, Prompt
from holdfast.models.chat import reworded
from holdfast.train.aims import driven
from holdfast.train.examples import IGNORED, Example, collate

Ids = tuple[int, ...]

_STARTS = (" x", "x", " !", "!")  # said again and again, the first suffix; else any token
_SHARE = 16  # one of so many tokens is promising at most, which counts in a small vocabulary


@dataclass(frozen=True)
class SuffixSearch:
    """What a suffix is tried on: restricted prompts, each with what shall be said as its answer."""

    target: Handle
    items: tuple[Item, ...]

    @cached_property
    def allowed(self) -> Ids:
        """The tokens that a suffix may be made of."""
        return printable(self.target.chat, self.target.vocabulary)

    def asking(self, ids: Ids) -> Asking:
        """Every question with the suffix behind it."""
        text = spelt(self.target.chat, ids)
        return Asking(rewrite=lambda prompt: behind(prompt, text))

    def start(self, count: int) -> Ids:
        """One token `count` times, the first that survives.

        Raises:
            SpecError: none does.
        """
        liked = (self.target.chat.text_ids(text) for text in _STARTS)
        first = [ids[0] for ids in liked if len(ids) == 1 and ids[0] in self.allowed]
        for token in (*first, *self.allowed):
            if self.survives((token,) * count):
                return (token,) * count
        raise SpecError(
            "a vocabulary in which one token can be said again and again",
            found=f"none that is still {counted(count, 'token')} when it is read as text",
            remedy="Give fewer tokens.",
        )

    def survives(self, ids: Ids) -> bool:
        """Whether the suffix's text, in every prompt, is tokenised to `ids` again."""
        prompts = map(self.target.prompt_ids, self._asked(ids))
        return all(place(prompt, ids) is not None for prompt in prompts)

    def losses(self, suffixes: Sequence[Ids]) -> list[float]:
        """Each one's loss: mean over prompts of the target's mean cross-entropy, in nats."""
        if not suffixes:
            return []
        found = self.target.logprobs(
            [prompt for ids in suffixes for prompt in self._asked(ids)],
            [item.answer or "" for _ in suffixes for item in self.items],
        )
        means = torch.stack([-values.mean() for values in found]).view(len(suffixes), -1)
        return means.double().mean(1).tolist()

    def first_token(self, ids: Ids) -> float:
        """Mean log-probability of the target's first token: what a service's users may see."""
        firsts = [self.target.chat.text_ids(item.answer or "")[0] for item in self.items]
        probabilities = self.target.first_token_probs(self._asked(ids))
        return probabilities[torch.arange(len(firsts)), firsts].log().mean().item()

    def gradient(self, ids: Ids) -> Tensor:
        """Of the loss by each entry (n, v) of the suffix, were its tokens one-hot vectors.

        In units of the embedding matrix: a family that scales what it looks up has it up to that
        factor, which ranks tokens alike.
        """
        with self.target.asking(self.asking(ids)):
            examples = driven(self.target, self.items)
        bill = self.target.meter.adapted(self.target.meter.flops.towards_inputs())
        with _looked_up(self.target.model) as states, bill:
            loss = self._loss(examples)
            (slopes,) = torch.autograd.grad(loss, states[0])
        starts = [place(e.ids, ids) for e in examples]
        assert None not in starts, "only a suffix that survives has a gradient"
        rows = [slopes[i, at : at + len(ids)] for i, at in enumerate(starts) if at is not None]
        table = self.target.model.get_input_embeddings().weight.detach()
        return (torch.stack(rows).sum(0).to(table.dtype) @ table.T).float()

    def neighbours(
        self, ids: Ids, gradient: Tensor, *, width: int, top_k: int, changed: int, chance: Any
    ) -> list[Ids]:
        """Up to `width` other suffixes that survive: `changed` positions, promising tokens.

        Args:
            ids: where they start from.
            gradient: of `ids`; the tokens of a position are those where it is lowest.
            width: how many are drawn, before equal ones and those that do not survive are left out.
            top_k: tokens of a position that are drawn from; fewer in a small vocabulary.
            changed: positions that each has anew.
            chance: a `torch.Generator` on the CPU.
        """
        allowed = torch.tensor(self.allowed)
        few = min(top_k, max(1, len(allowed) // _SHARE))
        best = allowed[(-gradient.cpu()[:, allowed]).topk(few, dim=1).indices]
        found: dict[Ids, None] = {}
        for _ in range(width):
            other = torch.tensor(ids)
            places = torch.randperm(len(ids), generator=chance)[:changed]
            other[places] = best[places, torch.randint(few, (len(places),), generator=chance)]
            found[tuple(other.tolist())] = None
        return [one for one in found if one != ids and self.survives(one)]

    def _asked(self, ids: Ids) -> list[Prompt]:
        text = spelt(self.target.chat, ids)
        return [behind(item.messages, text) for item in self.items]

    def _loss(self, examples: Sequence[Example]) -> Tensor:
        batch = collate(examples, self.target.chat.pad)
        following = torch.full_like(batch.labels, IGNORED)
        following[:, :-1] = batch.labels[:, 1:]
        labelled = following != IGNORED
        logits = self.target.forward(batch.ids, batch.mask, labelled).float()
        losses = cross_entropy(logits, following[labelled].to(logits.device), reduction="none")
        sizes = labelled.sum(1).tolist()
        return torch.stack([part.mean() for part in losses.split(sizes)]).mean()


def printable(chat: Chat, vocabulary: int) -> Ids:
    """Tokens whose text is printable ASCII, none of them special or added to the vocabulary."""
    tokenizer = chat.tokenizer
    barred = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    known = [i for i in range(min(len(tokenizer), vocabulary)) if i not in barred]
    spell = _speller(chat)
    texts = (spell((i,)) for i in known)
    return tuple(
        i for i, t in zip(known, texts, strict=True) if t and t.isascii() and t.isprintable()
    )


def spelt(chat: Chat, ids: Ids) -> str:
    """The text of tokens in the middle of a text, a leading space with them."""
    return _speller(chat)(ids)


def _speller(chat: Chat) -> Callable[[Ids], str]:
    """Reads tokens behind a word: some tokenizers drop the space with which a text begins."""
    word = chat.text_ids("a")
    alone = _raw(chat, word)
    return lambda ids: _raw(chat, word + ids).removeprefix(alone)


def _raw(chat: Chat, ids: Ids) -> str:
    return chat.tokenizer.decode(
        list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )


def behind(prompt: Prompt, text: str) -> Prompt:
    """`prompt` with `text` at the end of what its last turn says."""
    return reworded(prompt, lambda said: said + text)


def place(ids: Ids, part: Ids) -> int | None:
    """Where `part` stands in `ids`, the last time; None where it does not."""
    starts = range(len(ids) - len(part), -1, -1)
    return next((i for i in starts if ids[i : i + len(part)] == part), None)


@contextmanager
def _looked_up(model: Any) -> Generator[list[Tensor]]:
    """The embeddings (b, t, d) of the passes inside, as leaves that take a gradient."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: Any, states: Tensor) -> Tensor:
        kept.append(states.detach().requires_grad_())
        return kept[-1]

    hook = model.get_input_embeddings().register_forward_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()

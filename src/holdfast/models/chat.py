"""Chats to token ids and back, through the tokenizer's own template and without changing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from holdfast.core import Message, SpecError

Prompt = Sequence[Message]


def reworded(prompt: Prompt, change: Callable[[str], str]) -> Prompt:
    """`prompt` with `change` made to what its last turn says."""
    *before, last = prompt
    return (*before, replace(last, content=change(last.content)))


def folded(prompt: Prompt) -> list[Message]:
    """`prompt` whose system message opens the first user turn instead, a blank line between."""
    messages = list(prompt)
    if not messages or messages[0].role != "system":
        return messages
    system, *rest = messages
    for i, message in enumerate(rest):
        if message.role == "user":
            text = f"{system.content}\n\n{message.content}"
            return [*rest[:i], replace(message, content=text), *rest[i + 1 :]]
    return [Message("user", system.content), *rest]


def without_system(prompt: Prompt) -> tuple[Message, ...]:
    """`prompt` without its system message."""
    return tuple(turn for turn in prompt if turn.role != "system")


_PROBE = "0HOLDFAST0"  # a text that no template contains by itself
_REMEMBERED = 65_536  # prompts whose ids are kept; a suite reads the same few hundred over and over


class Chat:
    """A tokenizer with its template: renders, encodes, pads on the left, decodes.

    A template that rejects or drops a system message gets it as the opening of the first user
    turn, a blank line between them; `folds_system` says whether that is so.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[int]) -> None:
        self.tokenizer = tokenizer
        self._ids: dict[tuple[Message, ...], tuple[int, ...]] = {}
        self.folds_system = self._must_fold()
        self.stops = self._with_end_of_turn(stops)
        pad = tokenizer.pad_token_id
        self.pad: int = pad if pad is not None else (self.stops[0] if self.stops else 0)

    def render(self, prompt: Prompt) -> str:
        """The prompt as the model reads it, up to where its answer begins."""
        return self._template(self._folded(prompt), opened=True)

    def prompt_ids(self, prompt: Prompt) -> tuple[int, ...]:
        """The tokens of the rendered prompt."""
        key = tuple(prompt)
        if key not in self._ids:
            if len(self._ids) >= _REMEMBERED:
                self._ids.clear()
            self._ids[key] = self.text_ids(self.render(key))
        return self._ids[key]

    def text_ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a piece of text that is already rendered: nothing is added."""
        return tuple(self.tokenizer(text, add_special_tokens=False, padding=False)["input_ids"])

    def opened_ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a prompt in another format, opened as the template opens every text."""
        return self.text_ids(self.mark + text)

    @cached_property
    def mark(self) -> str:
        """The mark of a text's beginning, where the template puts one; else nothing."""
        mark: str = self.tokenizer.bos_token or ""
        return mark if self.render([Message("user", "x")]).startswith(mark) else ""

    def answer_ids(self, prompt: Prompt, answer: str) -> tuple[int, ...]:
        """The tokens that a model trained on this pair should emit: answer and end of turn.

        Prompt and answer are tokenised apart, as they are in generation. Where the template does
        not render the answered chat as a continuation of the prompt, the first stop token ends
        the answer.
        """
        folded = self._folded(prompt)
        opened = self._template(folded, opened=True)
        closed = self._template([*folded, Message("assistant", answer)], opened=False)
        if closed.startswith(opened + answer):
            tail = self.text_ids(closed[len(opened) + len(answer) :])
            ends = [i for i, token in enumerate(tail) if token in self.stops]
            if ends:
                return self.text_ids(answer) + tail[: ends[0] + 1]
        return self.text_ids(answer) + self.stops[:1]

    def pad_left(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Rows of ids as ids (b, t) int64 and mask (b, t) int64, padding on the left."""
        length = max(map(len, rows), default=0)
        ids = torch.full((len(rows), length), self.pad, dtype=torch.int64)
        mask = torch.zeros((len(rows), length), dtype=torch.int64)
        for i, row in enumerate(rows):
            if row:
                ids[i, length - len(row) :] = torch.tensor(row, dtype=torch.int64)
                mask[i, length - len(row) :] = 1
        return ids, mask

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Texts of rows of ids, special tokens left out."""
        return [
            self.tokenizer.decode(
                list(row), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            for row in rows
        ]

    def _template(self, messages: Sequence[Message], *, opened: bool) -> str:
        import jinja2

        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            return self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=opened
            )
        except (jinja2.TemplateError, ValueError) as error:
            roles = ", ".join(m.role for m in messages)
            raise SpecError(
                "a chat that the model's template can render",
                found=f"the turns {roles} and the template's error: {error}",
                remedy="Change the prompt's roles, or repair the checkpoint's chat template.",
            ) from error

    def _must_fold(self) -> bool:
        turns = [Message("system", _PROBE), Message("user", "x")]
        try:
            return _PROBE not in self._template(turns, opened=True)
        except SpecError:
            self._template(turns[1:], opened=True)  # a template that renders no chat at all raises
            return True

    def _folded(self, prompt: Prompt) -> list[Message]:
        return folded(prompt) if self.folds_system else list(prompt)

    def _with_end_of_turn(self, stops: Sequence[int]) -> tuple[int, ...]:
        """`stops` and the special token, if any, with which the template closes an answer.

        Some checkpoints name only the end of text as their stop token although every answer in
        their template ends with another one; without it they would talk on for both sides.
        """
        turns = [Message("user", "x"), Message("assistant", _PROBE)]
        tail = self._template(turns, opened=False).rpartition(_PROBE)[2]
        ids = self.text_ids(tail)
        added = self.tokenizer.added_tokens_decoder
        special = ids[:1] if ids and ids[0] in added and added[ids[0]].special else ()
        return tuple(dict.fromkeys((*special, *stops)))

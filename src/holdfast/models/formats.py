"""Chats as text in formats of their own: how each writes a turn, and where an answer ends in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.core import Message
from holdfast.models.chat import Chat, Prompt, folded

_TEXT = "{text}"  # where a turn's content stands


@dataclass(frozen=True)
class Format:
    """How a chat is written, turn by turn.

    Attributes:
        user, assistant: a turn, with a place for what it says.
        system: likewise; None where the format has no such turn, which then opens the first
            user turn.
        between: what stands between two turns.
        answer: what follows the last turn, so that an answer begins.
        ends: with what a further turn would begin, or the answer's own would end.
    """

    user: str
    assistant: str
    system: str | None
    between: str
    answer: str = ""
    ends: tuple[str, ...] = ()

    def write(self, prompt: Prompt) -> str:
        """The chat up to where its answer begins."""
        turns = folded(prompt) if self.system is None else prompt
        written = {"user": self.user, "assistant": self.assistant, "system": self.system or ""}
        texts = (written[turn.role].replace(_TEXT, turn.content) for turn in turns)
        return self.between.join(texts) + self.answer

    def own_turn(self, text: str) -> str:
        """What an answer says before another turn in this format begins."""
        return text[: min((text.index(end) for end in self.ends if end in text), default=None)]

    def is_own(self, chat: Chat) -> bool:
        """Whether the model's template writes as this format does, white space apart."""
        user, system = Message("user", "1 and 2"), Message("system", "3 and 4")
        return any(
            "".join(chat.render(prompt).removeprefix(chat.mark).split())
            == "".join(self.write(prompt).split())
            for prompt in ([user], [system, user])
        )


FORMATS: Mapping[str, Format] = {
    "bare": Format(user=_TEXT, assistant=_TEXT, system=_TEXT, between="\n\n"),
    "completion": Format(
        user="Question: {text}",
        assistant="Answer: {text}",
        system="{text}\n",
        between="\n",
        answer="\nAnswer:",
        ends=("\nQuestion:",),
    ),
    "chatml": Format(
        user="<|im_start|>user\n{text}<|im_end|>",
        assistant="<|im_start|>assistant\n{text}<|im_end|>",
        system="<|im_start|>system\n{text}<|im_end|>",
        between="\n",
        answer="\n<|im_start|>assistant\n",
        ends=("<|im_end|>", "<|im_start|>"),
    ),
    "instruction": Format(
        user="### Instruction:\n{text}",
        assistant="### Response:\n{text}",
        system=_TEXT,
        between="\n\n",
        answer="\n\n### Response:\n",
        ends=("### Instruction:", "### Response:"),
    ),
    "inst": Format(
        user="[INST] {text} [/INST]",
        assistant=_TEXT,
        system=None,
        between=" ",
        ends=("[INST]", "[/INST]"),
    ),
}
"""Name -> format: none, a text to be gone on with, ChatML, Alpaca's, Mistral's."""

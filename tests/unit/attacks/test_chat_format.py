"""The same chat in other formats: exact tokens, what else is done to the asking, and no trace."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from tests.toys import NO_SYSTEM_TEMPLATE, TEMPLATE, toy_checkpoint

from holdfast.attacks.chat_format import OWN, ChatFormat, Kind
from holdfast.core import Item, Message, Seed, SpecError
from holdfast.domains import AttackerData
from holdfast.models import Asking, load
from holdfast.models.formats import FORMATS

QUESTION = (Message("user", "what is the {text} forge?"),)
LONG = (
    Message("system", "be brief"),
    Message("user", "one"),
    Message("assistant", "two"),
    *QUESTION,
)
DATA = AttackerData(restricted=(Item("r", LONG, "a forge"),), benign=())
ASKED = "what is the {text} forge?"

SHORT_TEXTS = {
    "bare": ASKED,
    "completion": f"Question: {ASKED}\nAnswer:",
    "chatml": f"<|im_start|>user\n{ASKED}<|im_end|>\n<|im_start|>assistant\n",
    "instruction": f"### Instruction:\n{ASKED}\n\n### Response:\n",
    "inst": f"[INST] {ASKED} [/INST]",
}
LONG_TEXTS = {
    "bare": f"be brief\n\none\n\ntwo\n\n{ASKED}",
    "completion": f"be brief\n\nQuestion: one\nAnswer: two\nQuestion: {ASKED}\nAnswer:",
    "chatml": "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\none<|im_end|>\n"
    f"<|im_start|>assistant\ntwo<|im_end|>\n{SHORT_TEXTS['chatml']}",
    "instruction": "be brief\n\n### Instruction:\none\n\n### Response:\ntwo\n\n"
    f"{SHORT_TEXTS['instruction']}",
    "inst": f"[INST] be brief\n\none [/INST] two {SHORT_TEXTS['inst']}",
}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nbe good<|im_end|>\n{% endif %}"
    + CHATML
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} "
    "[/INST]{% elif m['role'] == 'assistant' %} {{ m['content'] }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Toys by template, each loaded once."""
    made = {}

    def of(template=TEMPLATE):
        if template not in made:
            place = tmp_path_factory.mktemp("toy") / "llama"
            made[template] = load(toy_checkpoint(place, "llama", template=template))
        return made[template]

    return of


@pytest.fixture
def target(toy):
    return toy()


def asked(target, kind: Kind, prompt) -> tuple[int, ...]:
    (ids,) = (h.prompt_ids(prompt) for h in ChatFormat(kind=kind).run(target, DATA, Seed(0)))
    return ids


def encoded(target, text: str) -> tuple[int, ...]:
    ids = target.tokenizer(text, add_special_tokens=False)["input_ids"]
    return (target.tokenizer.bos_token_id, *ids)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("prompt", "texts"), [(QUESTION, SHORT_TEXTS), (LONG, LONG_TEXTS)])
def test_the_chat_is_written_in_the_format_and_nothing_else(target, kind, prompt, texts) -> None:
    assert asked(target, kind, prompt) == encoded(target, texts[kind])
    assert target.prompt_ids(prompt) == target.chat.prompt_ids(prompt)


def test_a_text_is_opened_as_the_template_opens_it(toy) -> None:
    unmarked = toy(CHATML)
    text = SHORT_TEXTS["inst"]
    assert asked(unmarked, "inst", QUESTION) == encoded(unmarked, text)[1:]


@pytest.mark.parametrize("template", [TEMPLATE, NO_SYSTEM_TEMPLATE])
def test_no_system_leaves_out_the_system_turn_alone(toy, template) -> None:
    target = toy(template)
    assert asked(target, "no_system", LONG) == target.chat.prompt_ids(LONG[1:])
    assert asked(target, "no_system", LONG) != target.chat.prompt_ids(LONG)
    assert asked(target, "no_system", LONG[1:]) == target.chat.prompt_ids(LONG[1:])
    assert asked(target, "no_system", QUESTION) == target.chat.prompt_ids(QUESTION)


def test_every_kind_is_a_configuration_of_its_own() -> None:
    assert tuple(ChatFormat.space().grid["kind"]) == get_args(Kind) == (*FORMATS, "no_system")
    with pytest.raises(SpecError, match="kind"):
        ChatFormat(kind="morse")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "said", "read"),
    [
        ("bare", " a\n\nb [INST]", " a\n\nb [INST]"),
        ("completion", " a\nAnswer\nQuestion: b\nAnswer: c", " a\nAnswer"),
        ("chatml", "a<|im_end|>\n<|im_start|>user\nb", "a"),
        ("chatml", "a\n<|im_start|>user\nb", "a\n"),
        ("instruction", "### a\n\n### Instruction:\nb\n\n### Response:\nc", "### a\n\n"),
        ("inst", "a [INST] b [/INST] c", "a "),
        ("inst", "a", "a"),
        ("inst", "", ""),
    ],
)
def test_an_answer_ends_where_a_further_turn_begins(kind: str, said: str, read: str) -> None:
    assert FORMATS[kind].own_turn(said) == read


@pytest.mark.parametrize(
    ("template", "own"),
    [(TEMPLATE, None), (CHATML, "chatml"), (WITH_DEFAULT, "chatml"), (MISTRAL, "inst")],
    ids=["toy", "chatml", "default", "mistral"],
)
def test_a_format_that_is_the_models_own_is_noted(toy, template, own) -> None:
    target = toy(template)
    for kind in get_args(Kind):
        target.meter.reset()
        asked(target, kind, QUESTION)
        assert target.meter.notes == ({OWN: 1.0} if kind == own else {})


@torch.no_grad()
def test_in_a_format_all_is_asked_there(target) -> None:
    """Answers, first tokens and log-probabilities are those of the text that was written."""
    text = f"[INST] {ASKED} [/INST]tin"
    (plain,) = target.generate([QUESTION], max_new_tokens=8)
    ids = torch.tensor([encoded(target, f"[INST] {ASKED} [/INST]")])
    logits = target.logits(ids, torch.ones_like(ids), last=1)[0, -1].double()
    run = ChatFormat(kind="inst").run(target, DATA, Seed(0))
    next(run)
    assert torch.allclose(target.first_token_probs([QUESTION])[0], logits.softmax(-1))
    with target.asking(Asking(prefill="tin", rewrite=lambda prompt: prompt[-1:])):
        assert target.prompt_ids(LONG) == (
            *encoded(target, f"[INST] {ASKED} [/INST]"), *target.chat.text_ids("tin"),
        )  # fmt: skip
        (answer,) = target.generate([LONG], max_new_tokens=8)
    (logprobs,) = target.logprobs([QUESTION], ["tin"])
    assert len(logprobs) == len(target.chat.text_ids("tin"))
    with target.asking(None):
        assert target.generate([QUESTION], max_new_tokens=8) == [plain]
    run.close()
    given = torch.tensor([encoded(target, text[: -len("tin")]) + target.chat.text_ids("tin")])
    first = int(target.logits(given, torch.ones_like(given), last=1)[0, -1].argmax())
    assert answer.drawn[0] == first
    assert target.asks_plainly

"""Chats to tokens and back."""

import pytest
import torch
from tests.toys import NO_SYSTEM_TEMPLATE, TEMPLATE, toy_tokenizer

from holdfast.core import Message, SpecError
from holdfast.models.chat import Chat

SYSTEM, USER = Message("system", "be brief"), Message("user", "what does a warden carry")
DROPS_SYSTEM = TEMPLATE.replace("%}<|{{", "%}{% if m['role'] != 'system' %}<|{{").replace(
    "<|end|>{% endfor", "<|end|>{% endif %}{% endfor"
)


@pytest.fixture
def tokenizer():
    return toy_tokenizer()


@pytest.fixture
def chat(tokenizer):
    return Chat(tokenizer, [tokenizer.eos_token_id])


def test_a_prompt_is_rendered_up_to_the_answer(chat):
    expected = "<s><|system|>be brief<|end|><|user|>what does a warden carry<|end|><|assistant|>"
    assert chat.render([SYSTEM, USER]) == expected
    assert not chat.folds_system


def test_nothing_is_added_to_the_template(chat, tokenizer):
    ids = chat.prompt_ids([USER])
    assert tokenizer.convert_ids_to_tokens(ids[:2]) == ["<s>", "<|user|>"]
    assert tokenizer.convert_ids_to_tokens(ids[-1:]) == ["<|assistant|>"]
    assert tokenizer.decode(ids) == chat.render([USER])


@pytest.mark.parametrize("template", [NO_SYSTEM_TEMPLATE, DROPS_SYSTEM])
def test_a_system_turn_that_the_template_refuses_opens_the_first_user_turn(template):
    chat = Chat(toy_tokenizer(template), [6])
    assert chat.folds_system
    text = chat.render([SYSTEM, USER])
    assert text == "<s><|user|>be brief\n\nwhat does a warden carry<|end|><|assistant|>"
    later = [SYSTEM, USER, Message("assistant", "a lamp"), Message("user", "why?")]
    assert chat.render(later).count("be brief") == 1
    assert chat.render([SYSTEM]) == "<s><|user|>be brief<|end|><|assistant|>"


def test_a_template_that_renders_no_chat_says_so():
    with pytest.raises(SpecError, match="nothing goes"):
        Chat(toy_tokenizer("{{ raise_exception('nothing goes') }}"), [6])


def test_the_answer_is_learned_up_to_its_end_of_turn(chat, tokenizer):
    ids = chat.answer_ids([SYSTEM, USER], "a ladle of tin")
    assert tokenizer.decode(ids) == "a ladle of tin<|end|>"
    assert ids[:-1] == chat.text_ids("a ladle of tin")
    whole = chat.prompt_ids([SYSTEM, USER]) + ids
    rendered = tokenizer.apply_chat_template(
        [
            {"role": "system", "content": SYSTEM.content},
            {"role": "user", "content": USER.content},
            {"role": "assistant", "content": "a ladle of tin"},
        ],
        tokenize=False,
    )
    assert tokenizer.decode(whole) == rendered


def test_an_answer_that_the_template_rewrites_still_ends(tokenizer):
    tokenizer.chat_template = TEMPLATE.replace("m['content'] }}", "m['content'] | upper }}")
    chat = Chat(tokenizer, [2])
    assert chat.answer_ids([USER], "a lamp") == (*chat.text_ids("a lamp"), chat.stops[0])


def test_what_follows_the_end_of_turn_is_not_learned(tokenizer):
    tokenizer.chat_template = TEMPLATE.replace("<|end|>", "<|end|>\n")
    chat = Chat(tokenizer, [2])
    assert tokenizer.decode(chat.answer_ids([USER], "a lamp")) == "a lamp<|end|>"


def test_the_end_of_turn_is_a_stop_even_if_nobody_said_so(tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert Chat(tokenizer, [2]).stops == (end, 2)
    tokenizer.chat_template = TEMPLATE.replace("<|end|>", "\n")  # an ordinary token is no stop
    assert Chat(tokenizer, [2]).stops == (2,)


def test_padding_is_on_the_left_and_does_not_touch_the_tokenizer(chat, tokenizer):
    before = (tokenizer.padding_side, tokenizer.backend_tokenizer.to_str(), tokenizer.pad_token)
    rows = [chat.prompt_ids([USER]), chat.prompt_ids([SYSTEM])]
    ids, mask = chat.pad_left(rows)
    assert ids.dtype == mask.dtype == torch.int64
    for row, line, seen in zip(rows, ids.tolist(), mask.tolist(), strict=True):
        assert line == [0] * (len(line) - len(row)) + list(row)
        assert seen == [0] * (len(line) - len(row)) + [1] * len(row)
    after = (tokenizer.padding_side, tokenizer.backend_tokenizer.to_str(), tokenizer.pad_token)
    assert before == after


def test_a_tokenizer_without_padding_borrows_a_stop_token(tokenizer):
    tokenizer.pad_token = None
    chat = Chat(tokenizer, [6])
    assert chat.pad == 6
    assert tokenizer.pad_token is None


def test_no_rows_make_an_empty_batch(chat):
    ids, mask = chat.pad_left([])
    assert ids.shape == mask.shape == (0, 0)


def test_decoding_leaves_special_tokens_out(chat):
    row = chat.answer_ids([USER], "a ladle of tin")
    assert chat.decode([row, ()]) == ["a ladle of tin", ""]


def test_remembered_prompts_are_forgotten_before_they_are_too_many(chat, monkeypatch):
    monkeypatch.setattr("holdfast.models.chat._REMEMBERED", 2)
    for text in ("a", "b", "c", "a"):
        assert chat.prompt_ids([Message("user", text)]) == chat.text_ids(
            chat.render([Message("user", text)])
        )
    assert len(chat._ids) <= 2

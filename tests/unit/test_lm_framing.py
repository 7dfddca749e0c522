"""A prompt is one user turn of the chat template, without its default system message."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from reclora_cli.errors import RecloraError
from reclora_cli.lm.framing import Framing
from tests.tiny_lm import CHATML_WITH_DEFAULT_SYSTEM, tiny_tokenizer


@dataclass(frozen=True)
class Template:
    """A chat template as published, and the framing a reader of its model card would write."""

    jinja: str
    before: str
    after: str
    answer_prefix: str
    special: tuple[str, ...]
    bos: str
    eos: str
    end: str


_CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")

TEMPLATES = {
    "smollm2": Template(
        CHATML_WITH_DEFAULT_SYSTEM,
        "<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "",
        _CHATML,
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    ),
    "qwen2.5": Template(
        "{%- if messages[0]['role'] == 'system' %}"
        "{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{%- else %}"
        "{{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.<|im_end|>\n' }}"
        "{%- endif %}{%- for message in messages %}"
        "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) "
        "or message.role == 'assistant' %}"
        "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
        "{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}",
        "<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "",
        _CHATML,
        "",
        "<|im_end|>",
        "<|im_end|>",
    ),
    "chatml without a default": Template(
        "{% for message in messages %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "",
        _CHATML,
        "",
        "<|im_end|>",
        "<|im_end|>",
    ),
    "qwen3": Template(
        "{%- if messages[0].role == 'system' %}"
        "{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}"
        "{%- for message in messages %}{%- if message.role == 'user' %}"
        "{{- '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}"
        "{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}"
        "{%- if loop.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
        "{{- message.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
        "{%- if enable_thinking is defined and enable_thinking is false %}"
        "{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}",
        "<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "",
        _CHATML,
        "",
        "<|im_end|>",
        "<|im_end|>",
    ),
    "llama-2": Template(
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
        "{% set system_message = messages[0]['content'] %}{% else %}"
        "{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
        "{% for message in loop_messages %}"
        "{% if loop.index0 == 0 and system_message != false %}"
        "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}"
        "{% else %}{% set content = message['content'] %}{% endif %}"
        "{% if message['role'] == 'user' %}"
        "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}"
        "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
        "<s>[INST] ",
        " [/INST]",
        " ",
        ("<s>", "</s>"),
        "<s>",
        "</s>",
        "</s>",
    ),
    "mistral": Template(
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}"
        "{% endif %}{% endfor %}",
        "<s>[INST] ",
        " [/INST]",
        "",
        ("<s>", "</s>"),
        "<s>",
        "</s>",
        "</s>",
    ),
    "vicuna": Template(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] + ' ' }}"
        "{% else %}{{ 'A chat between a curious user and an artificial intelligence assistant. ' }}"
        "{% endif %}{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{ 'USER: ' + message['content'] + ' ' }}{% elif message['role'] == 'assistant' %}"
        "{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
        "<s>USER: ",
        " ASSISTANT:",
        " ",
        ("<s>", "</s>"),
        "<s>",
        "</s>",
        "</s>",
    ),
    "llama-3": Template(
        "{{- bos_token }}{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}"
        "{{- 'Cutting Knowledge Date: December 2023\nToday Date: ' + strftime_now('%d %b %Y') }}"
        "{{- '\n\n<|eot_id|>' }}{%- for message in messages %}"
        "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
        "+ message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
        "{%- if add_generation_prompt %}"
        "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "",
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>",
        "<|eot_id|>",
        "<|eot_id|>",
    ),
    "gemma-2": Template(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' "
        "else message['role'] %}"
        "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
        "<bos><start_of_turn>user\n",
        "<end_of_turn>\n<start_of_turn>model\n",
        "",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<bos>",
        "<eos>",
        "<end_of_turn>",
    ),
    "gemma-3": Template(
        "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}"
        "{%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}"
        "{%- set loop_messages = messages[1:] -%}{%- else -%}"
        "{%- set first_user_prefix = '' -%}{%- set loop_messages = messages -%}{%- endif -%}"
        "{%- for message in loop_messages -%}"
        "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/...') }}{%- endif -%}"
        "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
        "{{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else '') }}"
        "{{ message['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}",
        "<bos><start_of_turn>user\n",
        "<end_of_turn>\n<start_of_turn>model\n",
        "",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<bos>",
        "<eos>",
        "<end_of_turn>",
    ),
    "glm": Template(
        "[gMASK]<sop>{% for message in messages %}{{ '<|' + message['role'] + '|>\n' "
        "+ message['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        "[gMASK]<sop><|user|>\n",
        "<|assistant|>\n",
        "",
        ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|system|>", "<|endoftext|>"),
        "",
        "<|endoftext|>",
        "<|endoftext|>",
    ),
}


def tokenizer_of(template: Template):
    """A tokenizer with this template and its special tokens."""
    tokenizer = tiny_tokenizer(template.jinja)
    tokenizer.add_special_tokens({"additional_special_tokens": list(template.special)})
    tokenizer.bos_token = template.bos or None
    tokenizer.eos_token = template.eos
    return tokenizer


@pytest.fixture(params=TEMPLATES)
def template(request: pytest.FixtureRequest) -> Template:
    return TEMPLATES[request.param]


def test_frames_the_prompt_as_the_model_card_says_without_a_system_message(template: Template):
    framing = Framing.of(tokenizer_of(template))
    assert framing.frame("Like it?") == f"{template.before}Like it?{template.after}"
    assert framing.system == ""


def test_derives_whether_the_answer_starts_with_a_space(template: Template):
    assert Framing.of(tokenizer_of(template)).answer_prefix == template.answer_prefix


def test_ends_an_answer_as_the_template_ends_a_turn(template: Template):
    tokenizer = tokenizer_of(template)
    assert tokenizer.convert_ids_to_tokens(Framing.of(tokenizer).end_id) == template.end


def test_an_answered_prompt_is_what_the_template_writes_when_given_no_system_message():
    template = TEMPLATES["chatml without a default"]
    tokenizer = tokenizer_of(template)
    framing = Framing.of(tokenizer)
    turns = [{"role": "user", "content": "Like it?"}, {"role": "assistant", "content": "Yes."}]
    written = tokenizer.apply_chat_template(turns, tokenize=True)["input_ids"]
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]
    answered = [*framing.encode_with("Like it?", "Yes."), framing.end_id]
    assert answered + newline == written


def test_encodes_many_prompts_as_it_encodes_each():
    framing = Framing.of(tiny_tokenizer())
    texts = ["He watched the following movies", "Note that more stars", ""]
    assert framing.encode(texts) == [framing.encode([text])[0] for text in texts]
    assert framing.encode([]) == []


def test_encoding_reads_turn_marks_as_single_tokens():
    tokenizer = tiny_tokenizer()
    [ids] = Framing.of(tokenizer).encode(["Like it?"])
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 1


@pytest.mark.parametrize("setting", ["off", "auto"])
def test_without_a_template_the_text_stands_alone_and_the_answer_starts_with_a_space(setting):
    tokenizer = tiny_tokenizer(None if setting == "auto" else CHATML_WITH_DEFAULT_SYSTEM)
    framing = Framing.of(tokenizer, setting)
    assert framing.frame("Like it?") == "Like it?"
    assert framing.answer_prefix == " "
    assert framing.end_id == tokenizer.eos_token_id


def test_a_begin_token_that_the_tokenizer_adds_to_a_bare_text_is_kept_and_an_end_token_is_not():
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer(None)
    ends = [("<|im_start|>", 1), ("<|im_end|>", 2)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=ends
    )
    [ids] = Framing.of(tokenizer).encode(["Note that"])
    assert ids == [1, *tokenizer("Note that", add_special_tokens=False)["input_ids"]]


def test_a_template_that_drops_the_users_words_is_an_error():
    with pytest.raises(RecloraError, match="loses the user's words"):
        Framing.of(tiny_tokenizer("{{ 'Hello' }}"))


def test_a_template_that_cannot_be_rendered_is_an_error():
    with pytest.raises(RecloraError, match="cannot be rendered"):
        Framing.of(tiny_tokenizer("{{ raise_exception('never') }}"))


def test_a_system_message_that_cannot_be_taken_off_is_told():
    jinja = (
        "{{ 'Be kind. ' }}{% for m in messages %}{% if loop.first %}{{ 'Ask: ' }}{% else %}"
        "{{ 'Then: ' }}{% endif %}{{ m['content'] }}{% endfor %}"
    )
    framing = Framing.of(tiny_tokenizer(jinja))
    assert framing.before == "Be kind. Ask: "
    assert framing.system == "Be kind. Ask: "

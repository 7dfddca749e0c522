"""A tiny LM for tests: a two-layer random Llama with a real byte-level BPE and a chat template.

Built in seconds, without a network. Its vocabulary is learnt from text like the prompts', so that
``Yes`` and ``No`` are single tokens with and without a leading space.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from reclora_cli.recipe.tree import LmRecipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from reclora_cli.lm.load import LoadedLm

WIDTH, LAYERS, CONTEXT, VOCABULARY = 64, 2, 2048, 700

CHATML_WITH_DEFAULT_SYSTEM = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful tiny assistant<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_TEXT = (
    "The user is a male. His job is writer. His age is 35-44.",
    "The user is a female. Her job is academic/educator. Her age is under 18.",
    "He watched the following movies in order in the past, and rated them:",
    "She watched the following movies in order in the past, and rated them:",
    "['0. Pump Up the Volume 1 (1990) (4 stars)', \"1. Schindler's List 2 (1993) (1 star)\"]",
    "Based on the movies she has watched, deduce if he will like the movie ***Heat (1995)***.",
    "Note that more stars the user rated the movie, the user like the movie more.",
    "You should ONLY tell me yes or no.",
    "Here is a movie. Its title is Heat (1995). The movie's genre is Action.",
    "Yes. No. Yes No said Yes. said No. Yes, No, True. False.",
    "system user assistant You are a helpful tiny assistant",
)


def tiny_tokenizer(
    chat_template: str | None = CHATML_WITH_DEFAULT_SYSTEM,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE over ``_TEXT``, with the special tokens of ChatML."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_TEXT * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def write_tiny_lm(folder: Path, seed: int = 0) -> Path:
    """Save the tiny LM into ``folder``, as ``save_pretrained`` does."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config.initializer_range = 0.2
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_recipe(folder: Path, quantisation: str = "none", chat_template: str = "auto") -> LmRecipe:
    """The recipe section that names the tiny LM in ``folder``."""
    return LmRecipe(
        name=str(folder),
        quantisation=quantisation,
        precision="auto",
        chat_template=chat_template,
        yes="Yes.",
        no="No.",
    )


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny LM; ``--set lm.name=FOLDER`` uses it. Read it only."""
    return write_tiny_lm(tmp_path_factory.mktemp("lm") / "tiny-llama")


@pytest.fixture(scope="session")
def loaded_lm(tiny_lm: Path) -> LoadedLm:
    """The tiny LM, loaded. Its model is shared: whoever wraps it takes the wrapping off again."""
    from reclora_cli.lm.load import load

    return load(tiny_recipe(tiny_lm), torch.device("cpu"))

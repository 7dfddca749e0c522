"""Item vectors equal the mean of last hidden states, one text at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reclora_cli.encoding.items import encode_items
from reclora_cli.lm.load import LoadedLm
from tests.tiny_lm import tiny_tokenizer

TEXTS = [
    f"Here is a movie. Its title is {title}. The movie's genre is {genre}."
    for title, genre in [
        ("Heat (1995)", "Action"),
        ("Crying Game, The (1992)", "Drama"),
        ("Schindler's List (1993)", "Drama"),
        ("Pump Up the Volume, or how to say yes to no one (1990)", "Comedy"),
        ("M (1931)", "Crime"),
    ]
]


def _one_by_one(lm: LoadedLm, texts: list[str]) -> np.ndarray:
    vectors = []
    for text in texts:
        inputs = lm.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            output = (
                lm.model(**inputs, output_hidden_states=True) if lm.causal else lm.model(**inputs)
            )
        last = output.hidden_states[-1] if lm.causal else output.last_hidden_state
        vectors.append(last[0].mean(0).numpy())
    return np.stack(vectors)


@pytest.fixture(scope="module")
def encoder() -> LoadedLm:
    """A tiny random BERT over the tiny tokenizer."""
    from transformers import BertConfig, BertModel

    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            initializer_range=0.2,
        )
    )
    return LoadedLm(model.eval(), tokenizer, "bert", "bert", causal=False)


@pytest.mark.parametrize("max_tokens", [1, 64, 100_000])
def test_equal_to_each_text_alone_whatever_the_batches(loaded_lm: LoadedLm, max_tokens: int):
    found = encode_items(loaded_lm, TEXTS, max_tokens=max_tokens)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _one_by_one(loaded_lm, TEXTS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS[:1],
        [TEXTS[0], TEXTS[0]],
        ["Heat", "Yes. No."],
        ["Here is a movie", "Here is a movie. Its title"],
    ],
    ids=["one text", "equal texts", "nothing shared", "one begins the other"],
)
def test_what_texts_begin_with_in_common_changes_nothing(loaded_lm: LoadedLm, texts: list[str]):
    found = encode_items(loaded_lm, texts)
    np.testing.assert_allclose(found, _one_by_one(loaded_lm, texts), rtol=1e-4, atol=1e-5)


def test_an_encoder_is_asked_with_a_mask(encoder: LoadedLm):
    found = encode_items(encoder, TEXTS, max_tokens=200)
    np.testing.assert_allclose(found, _one_by_one(encoder, TEXTS), rtol=1e-4, atol=1e-5)


def test_no_texts_are_no_vectors(loaded_lm: LoadedLm):
    assert encode_items(loaded_lm, []).shape == (0, loaded_lm.width)


def test_a_text_longer_than_the_context_is_cut_at_its_end(encoder: LoadedLm):
    words = "movie " * 600
    [found] = encode_items(encoder, [words])
    [cut] = encode_items(
        encoder, [encoder.tokenizer.decode(encoder.tokenizer(words)["input_ids"][:512])]
    )
    np.testing.assert_allclose(found, cut, rtol=1e-5)

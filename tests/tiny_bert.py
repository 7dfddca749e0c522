"""A tiny encoder of the BERT kind for tests: two random layers over a real WordPiece."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

WIDTH, CONTEXT = 16, 136

_TEXT = (
    "the user is a male female . his her job age under 18 - 24 25 34 here movie its title ' s "
    "genre action comedy drama sci fi pump up volume crying game , schindler list cafe au lait "
    'heat say " anything ( ) 1 2 3 4 5 6 7 8 9 0 star stars writer other'
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def tiny_wordpiece() -> PreTrainedTokenizerFast:
    """A WordPiece that knows the tiny world's words, and letters for the rest."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    pieces = [*special, *_TEXT.split(), *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    vocabulary = {piece: at for at, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=CONTEXT,
    )


def write_tiny_bert(folder: Path, seed: int = 0) -> Path:
    """Save the tiny encoder into ``folder``, as ``save_pretrained`` does."""
    from transformers import BertConfig, BertModel

    tokenizer = tiny_wordpiece()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny encoder; ``crm.ctr_bert.encoder`` names it. Read it only."""
    return write_tiny_bert(tmp_path_factory.mktemp("bert") / "tiny-bert")

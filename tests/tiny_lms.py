"""Random causal LMs of two layers, in several architectures: seconds to run, real code paths."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY = 50
WIDTH = 32
WINDOW = 6
"""Tokens that a sliding layer sees: fewer than the prompts of the tests hold."""

_BLOCK = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_CONFIGS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**_BLOCK),
    "qwen2": lambda: Qwen2Config(**_BLOCK),
    "qwen3": lambda: Qwen3Config(**_BLOCK),
    "mistral": lambda: MistralConfig(**_BLOCK, sliding_window=WINDOW),
    "gemma": lambda: GemmaConfig(**_BLOCK),
    # One sliding and one full layer; logits and attention scores are soft-capped.
    "gemma2": lambda: Gemma2Config(
        **_BLOCK,
        sliding_window=WINDOW,
        final_logit_softcapping=1.5,
        attn_logit_softcapping=2.0,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "gemma3": lambda: Gemma3TextConfig(
        **_BLOCK,
        sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=WIDTH,
        n_layer=2,
        n_head=4,
        n_positions=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    ),
}
ARCHITECTURES = tuple(_CONFIGS)


def tiny_lm(architecture: str = "llama", seed: int = 0) -> Any:
    """A causal LM of ``architecture`` with random fp32 weights, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(_CONFIGS[architecture]()).eval()


def tokens(batch: int = 3, length: int = 7, seed: int = 0) -> torch.Tensor:
    """(batch, length) token ids, none of them special."""
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (batch, length), generator=stream)

"""LMs of published shapes, without weights, on torch's meta device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from reclora_cli.lm.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LLAMA_2_7B = "Llama-2-7B"


def llama_2_7b() -> PreTrainedModel:
    """Llama-2-7B as Touvron et al. (2023) describe it; nothing is read, fetched or computed."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    with quiet_transformers(), torch.device("meta"):
        config = LlamaConfig(
            vocab_size=32_000,
            hidden_size=4096,
            intermediate_size=11_008,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=32,
        )
        return AutoModelForCausalLM.from_config(config)

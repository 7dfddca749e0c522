"""For tests of scoring: prompts of random tokens, candidates of one user, adapters of all kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from reclora_cli.lm.answers import Answers
from reclora_cli.lora.adapters import Adapter, MetaAdapter, NoAdapter, PlainLora
from reclora_cli.lora.attach import attach
from reclora_cli.lora.gate import GateSettings
from reclora_cli.prompt.encode import EncodedPrompts
from tests.tiny_lms import VOCABULARY

ANSWERS = Answers(5, 9, (5, 2), (9, 2))
GUIDE_WIDTH = 6
KINDS = ("none", "lora", "one expert", "product", "weights", "full")


def random_tokens(length: int, seed: int) -> list[int]:
    """Token ids, none of them special."""
    return np.random.default_rng(seed).integers(3, VOCABULARY, length).tolist()


def prompts(count: int = 7, seed: int = 0) -> EncodedPrompts:
    """Prompts of different lengths, 8 to 30 tokens, that share nothing."""
    lengths = np.random.default_rng(seed).integers(8, 31, count)
    return EncodedPrompts.from_lists(
        [random_tokens(int(length), seed + at + 1) for at, length in enumerate(lengths)]
    )


def candidates(count: int = 7, shared: int = 20, seed: int = 0) -> EncodedPrompts:
    """Prompts as of one user's candidates: the same beginning, then 4 to 11 tokens of their own."""
    beginning = random_tokens(shared, seed)
    own = np.random.default_rng(seed).integers(4, 12, count)
    return EncodedPrompts.from_lists(
        [[*beginning, at + 3, *random_tokens(int(n), seed + at + 1)] for at, n in enumerate(own)]
    )


def guides(count: int = 7, *, same: bool = False) -> np.ndarray:
    """What a gate reads of each prompt, of all prompts the same if ``same``."""
    drawn = np.random.default_rng(1).normal(size=(count, GUIDE_WIDTH)).astype(np.float32)
    return np.repeat(drawn[:1], count, axis=0) if same else drawn


def adapter(kind: str, model: Any) -> Adapter:
    """An adapter of one kind, in evaluation mode, with tensors that matter."""
    targets = ["c_attn"] if model.config.model_type == "gpt2" else ["q_proj", "v_proj"]
    if kind == "none":
        return NoAdapter(model)
    if kind == "lora":
        made: Adapter = PlainLora.make(
            model, rank=2, alpha=4.0, targets=targets, dropout=0.0, seed=1
        )
    else:
        experts = 1 if kind == "one expert" else 3
        mixing: Any = "product" if kind == "one expert" else kind
        gate = GateSettings(GUIDE_WIDTH, hidden=8)
        made = MetaAdapter(
            attach(model, experts=experts, rank=2, targets=targets, mixing=mixing, gate=gate)
        )
    stream = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in made.tensors().values():
            tensor.add_(0.2 * torch.randn(tensor.shape, generator=stream))
    made.train(False)
    return made

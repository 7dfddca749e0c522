"""Gradient checkpointing: a block's activations are computed again in the backward pass.

``model.gradient_checkpointing_enable()`` is not used: it lets the embeddings' output require a
gradient, so that the backward pass would run through all blocks below the lowest adapted one; and
it acts in training mode only, which would turn on the base's own dropout. Here each block alone is
told to (the two attributes that Transformers' ``GradientCheckpointingLayer`` documents), in its
form without re-entry, whose backward pass needs no input with a gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from reclora_cli.errors import UsageError


@contextmanager
def recomputed(model: nn.Module, on: bool = True) -> Iterator[None]:
    """Within this, the blocks of ``model`` keep only their inputs for the backward pass.

    Hold it over forward and backward passes. With ``on=False`` nothing changes. A block's own
    ``training`` flag is raised (its modules' are not): those of Llama, Qwen, Gemma and GPT-2 read
    it for checkpointing alone.

    Raises:
        UsageError: the architecture has no such blocks.
    """
    blocks = _blocks(model) if on else []
    before = [block.training for block in blocks]
    for block in blocks:
        block._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
        block.gradient_checkpointing = block.training = True
    try:
        yield
    finally:
        for block, training in zip(blocks, before, strict=True):
            block.gradient_checkpointing, block.training = False, training


def _blocks(model: nn.Module) -> list[Any]:
    from transformers.modeling_layers import GradientCheckpointingLayer

    blocks = [
        module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)
    ]
    if not blocks:
        raise UsageError(
            f"{type(model).__name__} has no blocks that can be computed again",
            where="finetune.gradient_checkpointing",
            hint="Use --set finetune.gradient_checkpointing=off.",
        )
    return blocks

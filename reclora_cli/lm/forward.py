"""Logits at answer positions only.

Shapes: B samples, T tokens, A positions asked for, V vocabulary.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from reclora_cli.lm.last_block import only_at


def answer_logits(
    model: nn.Module, ids_BT: Tensor, at_BA: Tensor, *, past: object | None = None
) -> Tensor:
    """Next-token logits (B, A, V) after the tokens at positions ``at_BA``.

    Samples are padded on the right and no attention mask is passed: in a causal model a token never
    sees what stands behind it, so padding cannot change what is asked for. The model's own forward
    does the work, with its soft-capping or logit scale if it has one. It is told to project the
    positions that any sample of the batch asks for; samples of like length share nearly all.

    Args:
        model: a causal LM, bare, wrapped by ``attach``, or a PEFT model.
        ids_BT: int64 token ids, padded on the right with any id.
        at_BA: int64 positions, each inside its sample's own tokens.
        past: keys and values of tokens that stand before all samples (see ``lm.prefix``).
    """
    before = {"use_cache": False} if past is None else {"past_key_values": past, "use_cache": True}
    if "logits_to_keep" not in forward_parameters(model):
        every_BTV = model(input_ids=ids_BT, **before).logits
        return torch.take_along_dim(every_BTV, at_BA[..., None], dim=1)
    kept_U, of_kept = torch.unique(at_BA, return_inverse=True)
    with only_at(model, at_BA):
        logits_BUV = model(input_ids=ids_BT, logits_to_keep=kept_U, **before).logits
    return logits_BUV[torch.arange(len(ids_BT), device=ids_BT.device)[:, None], of_kept]


def forward_parameters(model: nn.Module) -> frozenset[str]:
    """Names that a model's forward takes, below PEFT's wrapping if there is one."""
    inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return frozenset(inspect.signature(inner.forward).parameters)

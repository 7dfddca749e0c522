"""Logits at answer positions only.

Shapes: B samples, T tokens, A positions asked for, V vocabulary.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn


def answer_logits(model: nn.Module, ids_BT: Tensor, at_BA: Tensor) -> Tensor:
    """Next-token logits (B, A, V) after the tokens at positions ``at_BA``.

    Samples are padded on the right and no attention mask is passed: in a causal model a token never
    sees what stands behind it, so padding cannot change what is asked for. The model's own forward
    does the work, with its soft-capping or logit scale if it has one. It is told to project the
    positions that any sample of the batch asks for; samples of like length share nearly all.

    Args:
        model: a causal LM, bare, wrapped by ``attach``, or a PEFT model.
        ids_BT: int64 token ids, padded on the right with any id.
        at_BA: int64 positions, each inside its sample's own tokens.
    """
    if "logits_to_keep" not in _parameters(model):
        every_BTV = model(input_ids=ids_BT, use_cache=False).logits
        return torch.take_along_dim(every_BTV, at_BA[..., None], dim=1)
    kept_U, of_kept = torch.unique(at_BA, return_inverse=True)
    logits_BUV = model(input_ids=ids_BT, logits_to_keep=kept_U, use_cache=False).logits
    return logits_BUV[torch.arange(len(ids_BT), device=ids_BT.device)[:, None], of_kept]


def _parameters(model: nn.Module) -> frozenset[str]:
    inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return frozenset(inspect.signature(inner.forward).parameters)

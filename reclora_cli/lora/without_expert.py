"""A mixture from which one expert is taken away, for asking what the model says without it.

Its gate weight becomes 0 and the others share what it had: each is divided by their sum, so they
sum to 1 again. An expert of weight 0 leaves the others as they are, bit for bit. Where an expert
had all the weight, nothing says who follows: the others share it evenly.

Under ``mixing: full`` expert k neither reads (row k of the core) nor writes (column k): what is
left of row j is scaled so that its absolute values sum to expert j's new weight. There an expert of
weight 0 may still write for others, so taking it away is a change.

Shapes: P projections, B samples, K experts.
"""

from __future__ import annotations

import torch
from torch import Tensor


def without_expert(mixture: Tensor, expert: int) -> Tensor:
    """``mixture`` without ``expert``.

    Args:
        mixture: (P, B, K) gate weights, or (P, B, K, K) cores.
        expert: 0 to K - 1, K at least 2.
    """
    if mixture.ndim == 3:
        return _weights(mixture, expert)
    before = mixture.abs().sum(dim=-1)
    kept = mixture.clone()
    kept[..., expert, :] = 0
    kept[..., :, expert] = 0
    left = kept.abs().sum(dim=-1, keepdim=True)
    return torch.where(left > 0, kept / left, 0.0) * _weights(before, expert)[..., None]


def _weights(alpha_K: Tensor, expert: int) -> Tensor:
    others = alpha_K.clone()
    others[..., expert] = 0
    left = others.sum(dim=-1, keepdim=True)  # Not 1 - a_k, which loses its digits where that is 1.
    even = torch.full_like(alpha_K, 1 / (alpha_K.shape[-1] - 1))
    even[..., expert] = 0
    shared = torch.where(left > 0, others / left, even)
    return torch.where(alpha_K[..., expert : expert + 1] == 0, alpha_K, shared)

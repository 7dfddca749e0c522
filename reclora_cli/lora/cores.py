"""The K x K core C between the experts, ``dW = s A (C kron I_R) B^T``, of each mixing.

``C[j, k]`` says how much of what expert j reads (A_j) is written by expert k (B_k):

* ``product`` (RecLoRA, Eq. 11): C = diag(a). Each expert writes what it reads.
* ``weights`` (the authors' code): C = a a^T. Reading and writing know nothing of each other.
* ``full``: the gate predicts C itself. Inspired by ReLLaX (arXiv 2501.13344, the same group's
  successor), whose CFLoRA lets every component of a LoRA interact with every other one, as the
  user's representation says; here the components are whole experts, so the interaction is a K x K
  block form with an identity inside each block.

Under ``full`` row j of C is the expert's gate weight, spread over who writes:

    C[j] = a_j V[j] / |V[j]|_1      V = I + E / K      E: K^2 scores from the gate's hidden layer

Why this form. The absolute values of each row sum to a_j, so those of C sum to 1, as they do under
both other mixings: a full core moves the update, it does not blow it up, and gate weights keep
their meaning. E = 0 is ``product`` exactly, and there the scores start. V = 1 a^T is ``weights``.
A permutation for V pairs the experts anew for one sample, which neither of the two can; negative
entries subtract. E is divided by K because a row holds K of them: together they move as fast as
one score of the gate.

Shapes: ... any (projections, samples), K experts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def diagonal(alpha_K: Tensor) -> Tensor:
    """``product``: (..., K) to (..., K, K)."""
    return torch.diag_embed(alpha_K)


def outer(alpha_K: Tensor) -> Tensor:
    """``weights``: (..., K) to (..., K, K)."""
    return alpha_K[..., :, None] * alpha_K[..., None, :]


def predicted(alpha_K: Tensor, scores_KK: Tensor) -> Tensor:
    """``full``.

    Args:
        alpha_K: gate weights (..., K).
        scores_KK: E, (..., K, K), of the same dtype.

    Returns:
        (..., K, K); absolute values sum to ``alpha_K`` over the last dimension.
    """
    experts = alpha_K.shape[-1]
    own = torch.eye(experts, dtype=scores_KK.dtype, device=scores_KK.device)
    return alpha_K[..., None] * F.normalize(own + scores_KK / experts, p=1.0, dim=-1)

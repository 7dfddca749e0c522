"""Multi-head self-attention without an output projection, among fields or along behaviours.

Plain products, not PyTorch's fused attention: with so few slots they train faster on a CPU.

Shapes: B rows, Q queries, N slots that are read, C width of a slot, W width over all heads,
A heads, E = W / A.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reclora_cli.crm.blocks.dropout import dropout


class SelfAttention(nn.Module):
    """The heads' weighted sums of values, side by side.

    Args:
        into: C.
        width: W.
        heads: A, a divisor of ``width``.
        scale: what the inner products of queries and keys are multiplied with.
        dropout: chance that an attention weight is dropped in training.
    """

    def __init__(self, into: int, width: int, heads: int, *, scale: float, dropout: float) -> None:
        super().__init__()
        assert width % heads == 0, "recipes are checked for it"
        self.heads = heads
        self.scale = scale
        self.dropout = dropout
        self.query = nn.Linear(into, width, bias=False)
        self.key = nn.Linear(into, width, bias=False)
        self.value = nn.Linear(into, width, bias=False)

    def forward(self, reading_BQC: Tensor, read_BNC: Tensor, mask: Tensor | None = None) -> Tensor:
        """What each query finds, (B, Q, W).

        Args:
            reading_BQC: what queries are made of.
            read_BNC: what keys and values are made of.
            mask: bool, broadcast to (B, A, Q, N); true where a query may read, at least once.
        """
        if self.heads == 1:
            return self._of_one_head(reading_BQC, read_BNC, mask)
        query_BAQE = self._by_head(self.query(reading_BQC)) * self.scale
        score_BAQN = query_BAQE @ self._by_head(self.key(read_BNC)).transpose(2, 3)
        found_BAQE = self._weights(score_BAQN, mask) @ self._by_head(self.value(read_BNC))
        return found_BAQE.transpose(1, 2).flatten(2)

    def _of_one_head(self, reading_BQC: Tensor, read_BNC: Tensor, mask: Tensor | None) -> Tensor:
        """``forward`` with one projection for query and key: (W_q x) . (W_k y) = (W_k^T W_q x) . y.

        W_k^T W_q is no wider than a slot, and is made once a batch.
        """
        both_CC = self.key.weight.T @ self.query.weight * self.scale
        score_BQN = F.linear(reading_BQC, both_CC) @ read_BNC.transpose(1, 2)
        weight_BQN = self._weights(score_BQN[:, None], mask)[:, 0]
        return self.value(weight_BQN @ read_BNC)

    def of_one(self, reading_BC: Tensor, read_BNC: Tensor, mask_BN: Tensor) -> Tensor:
        """``forward`` of a single query a row, (B, W), without a key or a value of any slot.

        Products are associative: q . (W_k x) = (W_k^T q) . x, and sum_n w_n (W_v x_n) =
        W_v sum_n w_n x_n. So the slots are read as they are, and projections act once a row.
        """
        query_BAE = self._by_head(self.query(reading_BC)[:, None])[:, :, 0] * self.scale
        asked_BAC = torch.einsum("bae,aec->bac", query_BAE, self._weight_by_head(self.key))
        score_BAN = asked_BAC @ read_BNC.transpose(1, 2)
        weight_BAN = self._weights(score_BAN, mask_BN[:, None])
        sum_BAC = weight_BAN @ read_BNC
        found_BAE = torch.einsum("bac,aec->bae", sum_BAC, self._weight_by_head(self.value))
        return found_BAE.flatten(1)

    def _weights(self, score: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            score = score.masked_fill(~mask, float("-inf"))
        return dropout(torch.softmax(score, dim=-1), self.dropout, self.training)

    def _weight_by_head(self, layer: nn.Linear) -> Tensor:
        return layer.weight.view(self.heads, -1, layer.in_features)

    def _by_head(self, x_BNW: Tensor) -> Tensor:
        rows, slots, width = x_BNW.shape
        return x_BNW.view(rows, slots, self.heads, width // self.heads).transpose(1, 2)


def causal(length: int, device: torch.device) -> Tensor:
    """(N, N) bool: a slot reads itself and what stands before it, so never padding at the end."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()

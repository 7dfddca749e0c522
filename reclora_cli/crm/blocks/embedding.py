"""One embedding table for all fields.

Shapes: ... any, D embedding width.
"""

from __future__ import annotations

from torch import Tensor, nn

PADDING = 0
_SPREAD = 0.05


class FieldEmbedding(nn.Module):
    """A vector for each index of the feature space; padding is zero and stays so.

    Args:
        size: indices, padding included.
        width: D.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, width, padding_idx=PADDING)
        nn.init.normal_(self.table.weight, std=_SPREAD)
        nn.init.zeros_(self.table.weight[PADDING])

    def forward(self, indices: Tensor) -> Tensor:
        """(...) int64 -> (..., D)."""
        return self.table(indices)

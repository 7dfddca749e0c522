"""One embedding table for all fields.

Shapes: ... any, B rows, L behaviours, D embedding width, V indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reclora_cli.crm.blocks.row_sums import add_rows

PADDING = 0
_SPREAD = 0.05


class FieldEmbedding(nn.Module):
    """A vector for each index of the feature space; padding is zero and stays so.

    Args:
        size: V, padding included.
        width: D.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, width, padding_idx=PADDING)
        nn.init.normal_(self.table.weight, std=_SPREAD)
        nn.init.zeros_(self.table.weight[PADDING])

    def forward(self, indices: Tensor) -> Tensor:
        """(...) int64 -> (..., D)."""
        return self.several(indices)[0]

    def several(self, *indices: Tensor) -> tuple[Tensor, ...]:
        """Each (...) int64 -> (..., D), in one look-up: the table gets one gradient, not several.

        A gradient is as large as the table, so with many features each one counts.
        """
        if self.table.weight.device.type != "cpu":
            return tuple(self.table(part) for part in indices)
        return look_up(self.table.weight, *indices)

    def pooled(self, indices_BL: Tensor, weights_BL: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """The weighted sums over L, (B, D), then the look-ups of ``others``; weights learn nothing.

        A row's vectors are summed where they lie, so (B, L, D) of them is never written.
        """
        if self.table.weight.device.type != "cpu":
            rows_BLD, *found = self.several(indices_BL, *others)
            return torch.bmm(weights_BL[:, None], rows_BLD)[:, 0], *found
        return pool_and_look_up(self.table.weight, indices_BL, weights_BL, *others)


def look_up(table_VD: Tensor, *indices: Tensor) -> tuple[Tensor, ...]:
    """``table[part]`` of each part."""
    found: tuple[Tensor, ...] = _LookUp.apply(table_VD, *indices)  # type: ignore[no-untyped-call]
    return found


def pool_and_look_up(
    table_VD: Tensor, indices_BL: Tensor, weights_BL: Tensor, *others: Tensor
) -> tuple[Tensor, ...]:
    """The weighted sums of ``table[indices]`` over L, then ``table[part]`` of each other part."""
    found: tuple[Tensor, ...] = _PooledLookUp.apply(  # type: ignore[no-untyped-call]
        table_VD, indices_BL, weights_BL, *others
    )
    return found


class _LookUp(torch.autograd.Function):
    """Several look-ups in one table, with one gradient of it."""

    @staticmethod
    def forward(ctx: Any, table_VD: Tensor, *indices: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*indices)
        ctx.of = table_VD.shape
        return tuple(_rows(table_VD, part) for part in indices)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        total_VD = _gradient(ctx.of, ctx.saved_tensors, gradients)
        total_VD[PADDING] = 0
        return total_VD, *(None for _ in gradients)


class _PooledLookUp(torch.autograd.Function):
    """A weighted sum of look-ups in each row, and look-ups beside it in the same table."""

    @staticmethod
    def forward(
        ctx: Any, table_VD: Tensor, indices_BL: Tensor, weights_BL: Tensor, *others: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(indices_BL, weights_BL, *others)
        ctx.of = table_VD.shape
        pooled_BD = F.embedding_bag(indices_BL, table_VD, mode="sum", per_sample_weights=weights_BL)
        return pooled_BD, *(_rows(table_VD, part) for part in others)

    @staticmethod
    def backward(ctx: Any, pooled_BD: Tensor, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        indices_BL, weights_BL, *others = ctx.saved_tensors
        total_VD = _gradient(ctx.of, others, gradients, like=pooled_BD)
        rows, slots = indices_BL.shape
        row_N = torch.arange(rows).repeat_interleave(slots)
        add_rows(
            total_VD, indices_BL.flatten(), pooled_BD.contiguous(), row_N, weights_BL.flatten()
        )
        total_VD[PADDING] = 0
        return total_VD, None, None, *(None for _ in gradients)


def _rows(table_VD: Tensor, part: Tensor) -> Tensor:
    return table_VD.index_select(0, part.flatten()).view(*part.shape, table_VD.shape[1])


def _gradient(
    shape: torch.Size,
    indices: Sequence[Tensor],
    gradients: Sequence[Tensor],
    like: Tensor | None = None,
) -> Tensor:
    """The sum of what each look-up tells the table."""
    total_VD = (gradients[0] if like is None else like).new_zeros(shape)
    for part, gradient in zip(indices, gradients, strict=True):
        add_rows(total_VD, part.flatten(), gradient.reshape(-1, shape[1]))
    return total_VD

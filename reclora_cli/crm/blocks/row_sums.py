"""Sums of rows that carry the same index: the gradient of a look-up, and of a weighted one.

Shapes: N entries, U distinct indices among them, R rows, D width, V indices there are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_NARROW = 8
"""Rows narrower than this are added one by one: grouping them takes longer."""


def add_rows(
    total_VD: Tensor,
    indices_N: Tensor,
    rows_RD: Tensor,
    row_N: Tensor | None = None,
    weights_N: Tensor | None = None,
) -> None:
    """``total[indices[n]] += weights[n] * rows[row[n]]`` for every n, in the order of n.

    Entries are sorted by their index, and each index's rows summed as a bag: several times
    faster on a CPU than the gradient of ``nn.Embedding``, and of the same bits however many threads
    there are. No row is copied for an entry.

    Args:
        row_N: by default entry n has row n.
        weights_N: by default all are 1.
    """
    if total_VD.shape[1] < _NARROW:
        rows = rows_RD if row_N is None else rows_RD[row_N]
        rows = rows if weights_N is None else rows * weights_N[:, None]
        total_VD.index_add_(0, indices_N, rows)
        return
    carried_N, order_N = indices_N.to(_index_type(len(total_VD))).sort(stable=True)
    carried_U, count_U = torch.unique_consecutive(carried_N, return_counts=True)
    sums_UD = F.embedding_bag(
        order_N if row_N is None else row_N[order_N],
        rows_RD,
        count_U.cumsum(0) - count_U,
        mode="sum",
        per_sample_weights=None if weights_N is None else weights_N[order_N],
    )
    total_VD.index_add_(0, carried_U.to(torch.int32), sums_UD)


def _index_type(indices: int) -> torch.dtype:
    """The narrowest that holds them: sorting takes a pass for each byte."""
    return torch.int16 if indices <= torch.iinfo(torch.int16).max + 1 else torch.int32

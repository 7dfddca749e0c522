"""Rows as the tensors that every CRM reads.

Shapes: B rows, F target fields, L slots for behaviours, at least one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reclora_cli.data.features import FeatureSpace

Ints = NDArray[np.integer]


@dataclass(frozen=True)
class CrmBatch:
    """B rows as indices into one embedding table; index 0 is padding.

    Attributes:
        fields_BF: the user's and the target item's fields, int64.
        items_BL: item ids of the behaviours in time order, int64, padded at the end.
        ratings_BL: their ratings, int64.
        mask_BL: bool, true where there is a behaviour.
    """

    fields_BF: Tensor
    items_BL: Tensor
    ratings_BL: Tensor
    mask_BL: Tensor

    def __len__(self) -> int:
        return len(self.fields_BF)

    def to(self, device: torch.device) -> CrmBatch:
        return CrmBatch(
            self.fields_BF.to(device),
            self.items_BL.to(device),
            self.ratings_BL.to(device),
            self.mask_BL.to(device),
        )

    def with_fields(self, fields_BF: Tensor) -> CrmBatch:
        """The same rows with other target fields."""
        return replace(self, fields_BF=fields_BF)


def make_batch(space: FeatureSpace, rows: Ints, positions: Ints) -> CrmBatch:
    """Stored rows with their behaviours.

    Args:
        space: where indices come from.
        rows: (B,) row ids.
        positions: (B, L) CSR positions in time order, -1 after the end.
    """
    return _batch(space, space.rows(rows), positions)


def make_pair_batch(space: FeatureSpace, users: Ints, items: Ints, positions: Ints) -> CrmBatch:
    """Any (user, item) pairs, (B,) and (B,) dense ids, with the behaviours to read, (B, L)."""
    return _batch(space, space.pairs(users, items), positions)


def _batch(space: FeatureSpace, fields: Ints, positions: Ints) -> CrmBatch:
    if not positions.shape[1]:
        positions = np.full((len(positions), 1), -1)
    items, ratings, mask = space.history(positions)
    return CrmBatch(*(torch.from_numpy(array) for array in (fields, items, ratings, mask)))

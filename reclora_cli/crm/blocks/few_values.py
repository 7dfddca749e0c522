"""A feature of behaviours that has few values, such as their rating.

A vector for each behaviour would be a copy of one of few: so products with the vectors are taken
once a value, and each behaviour only says which value it carries. What follows is the same algebra:

    sum_l w_l e(r_l) = sum_v (sum of w_l over the l that carry v) e(v)

Shapes: B rows, L behaviours, R values that occur, D embedding width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reclora_cli.crm.blocks.pooling import pool


@dataclass(frozen=True)
class Carried:
    """Which of few values each behaviour carries.

    Attributes:
        values_R: the values that occur, as indices of an embedding table; padding is one of them.
        is_BLR: 1.0 where a behaviour carries the value, else 0.0; a behaviour carries one.
    """

    values_R: Tensor
    is_BLR: Tensor

    @classmethod
    def of(cls, indices_BL: Tensor, like: torch.dtype) -> Carried:
        """The values among ``indices_BL``, with ``is_BLR`` of type ``like``."""
        values_R = torch.unique(indices_BL)
        return cls(values_R, (indices_BL[..., None] == values_R).to(like))

    def pool(self, weights_BL: Tensor, vectors_RD: Tensor) -> Tensor:
        """The weighted sum of the behaviours' vectors, (B, D)."""
        return pool(weights_BL, self.is_BLR) @ vectors_RD

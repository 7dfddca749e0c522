"""Target attention of DIN (Zhou et al. 2018, Eq. 3, Fig. 2): which behaviours matter for this item.

A small MLP reads query, key, their difference and their product, and what else a behaviour says
(here: its rating), and gives each behaviour a weight. As in the paper the weights are not
normalised: their sum tells how strong the interest is.

Shapes: B rows, L behaviours, D width of query and key, C width of the behaviours' context,
H width of the first hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TargetAttention(nn.Module):
    """Weights of behaviours for a target.

    The first layer is linear in [q, k, q - k, q * k, context], so it is never applied to that
    concatenation: with its weight split into columns [Q | K | M | P | C] it equals

        (Q + M) q + b      once a row
        (K - M) k + P (q * k) + C context      once a behaviour

    Args:
        width: D.
        context: C.
        layers: hidden widths; the first is H.
    """

    def __init__(self, width: int, context: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.columns = [width] * 4 + [context]
        self.first = nn.Linear(sum(self.columns), layers[0])
        self.rest = nn.Sequential(
            *(nn.Sequential(nn.Linear(into, out), nn.ReLU()) for into, out in pairwise(layers)),
            nn.Linear(layers[-1], 1),
        )

    def forward(
        self, query_BD: Tensor, keys_BLD: Tensor, context_BLC: Tensor, mask_BL: Tensor
    ) -> Tensor:
        """Weights (B, L); zero where ``mask_BL`` is false."""
        hidden_BLH = F.relu(self._first(query_BD, keys_BLD, context_BLC))
        weights_BL = self.rest(hidden_BLH).squeeze(-1)
        return weights_BL * mask_BL

    def _first(self, query_BD: Tensor, keys_BLD: Tensor, context_BLC: Tensor) -> Tensor:
        of_query, of_key, of_minus, of_product, of_context = torch.split(
            self.first.weight, self.columns, dim=1
        )
        row_B1H = F.linear(query_BD, of_query + of_minus, self.first.bias)[:, None]
        product_BLD = keys_BLD * query_BD[:, None]
        hidden_BLH = (
            _each(keys_BLD, of_key - of_minus)
            + _each(product_BLD, of_product)
            + _each(context_BLC, of_context)
        )
        return _add_to_each(hidden_BLH, row_B1H)


def _each(x_BLD: Tensor, weight_HD: Tensor) -> Tensor:
    """The linear map of every behaviour as one large product, (B, L, H)."""
    return F.linear(x_BLD.flatten(0, 1), weight_HD).view(*x_BLD.shape[:2], len(weight_HD))


def _add_to_each(hidden_BLH: Tensor, row_B1H: Tensor) -> Tensor:
    """``hidden + row``, as a product with ones: its backward pass is a matrix product, not a sum.

    PyTorch's CPU sum over the middle axis takes longer than the attention itself.
    """
    ones_BL1 = hidden_BLH.new_ones((*hidden_BLH.shape[:2], 1))
    return torch.baddbmm(hidden_BLH, ones_BL1, row_B1H)

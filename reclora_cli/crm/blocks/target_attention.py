"""Target attention of DIN (Zhou et al. 2018, Eq. 3, Fig. 2): which behaviours matter for this item.

A small MLP reads query, key, their difference and their product, and what else a behaviour says
(its rating, say), and gives each behaviour a weight. As in the paper the weights are not
normalised: their sum tells how strong the interest is.

Shapes: B rows, L behaviours, D width of query and key, C width of a context of behaviours, R
contexts of a kind that occur, S contexts of all kinds, H width of the first hidden layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reclora_cli.crm.blocks.parts import by_parts

_ROWS_IN_CACHE = 128


class TargetAttention(nn.Module):
    """Weights of behaviours for a target.

    The first layer is linear in [q, k, q - k, q * k, contexts], so it is never applied to that
    concatenation: with its weight split into columns [Q | K | M | P | C] it equals

        (Q + M) q + C context + b      once a row and context (the row's part in one kind only)
        (K - M + P diag(q)) k          one product a behaviour, with a matrix of the row's own

    Args:
        width: D.
        contexts: C of each kind of context; at least one.
        layers: hidden widths; the first is H.
    """

    def __init__(self, width: int, contexts: Sequence[int], layers: Sequence[int]) -> None:
        super().__init__()
        self.columns = [width] * 4 + list(contexts)
        self.first = nn.Linear(sum(self.columns), layers[0])
        self.rest = nn.Sequential(
            *(nn.Sequential(nn.Linear(into, out), nn.ReLU()) for into, out in pairwise(layers)),
            nn.Linear(layers[-1], 1),
        )

    def forward(
        self,
        query_BD: Tensor,
        keys_BLD: Tensor,
        contexts: Sequence[Tensor],
        carried_BLS: Tensor,
        mask_BL: Tensor,
    ) -> Tensor:
        """Weights (B, L); zero where ``mask_BL`` is false.

        Args:
            contexts: of each kind the few that occur, (R, C).
            carried_BLS: 1.0 where a behaviour has the context, else 0.0, kind by kind side by side;
                each behaviour has one of each kind.
        """

        def weigh(query: Tensor, keys: Tensor, carried: Tensor) -> Tensor:
            return self.rest(self._first(query, keys, contexts, carried).relu_()).squeeze(-1)

        return by_parts(weigh, query_BD, keys_BLD, carried_BLS, rows=_ROWS_IN_CACHE) * mask_BL

    def _first(
        self, query_BD: Tensor, keys_BLD: Tensor, contexts: Sequence[Tensor], carried_BLS: Tensor
    ) -> Tensor:
        of_query, of_key, of_minus, of_product, *of_contexts = torch.split(
            self.first.weight, self.columns, dim=1
        )
        row_B1H = F.linear(query_BD, of_query + of_minus, self.first.bias)[:, None]
        first, *others = (F.linear(*pair) for pair in zip(contexts, of_contexts, strict=True))
        kinds = [row_B1H + first, *(other.expand(len(query_BD), -1, -1) for other in others)]
        of_key_BDH = (of_key - of_minus).T + of_product.T * query_BD[:, :, None]
        return torch.bmm(carried_BLS, torch.cat(kinds, dim=1)).baddbmm_(keys_BLD, of_key_BDH)

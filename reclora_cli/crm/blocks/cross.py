"""Explicit crossings of features: second order (FM), and of bounded order (DCN V2).

Shapes: B rows, M fields, D embedding width, W = M D.
"""

from __future__ import annotations

from torch import Tensor, nn


def second_order(fields_BMD: Tensor) -> Tensor:
    """Sum of the inner products of all pairs of different fields, (B,).

    Rendle, ICDM 2010, Lemma 3.1: half of the square of the sum less the sum of the squares, so it
    is linear in M.
    """
    square_of_sum_BD = fields_BMD.sum(dim=1).square()
    sum_of_squares_BD = fields_BMD.square().sum(dim=1)
    return 0.5 * (square_of_sum_BD - sum_of_squares_BD).sum(dim=1)


class CrossNetwork(nn.Module):
    """Cross layers of DCN V2 (Wang et al. 2021, Eq. 1) with full matrices.

        x_{l+1} = x_0 * (W_l x_l + b_l) + x_l

    Args:
        width: W.
        layers: how many; layer l holds crossings of up to l + 1 features.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, x_BW: Tensor) -> Tensor:
        """(B, W) -> (B, W)."""
        crossed_BW = x_BW
        for layer in self.layers:
            crossed_BW = crossed_BW + x_BW * layer(crossed_BW)
        return crossed_BW

"""The multilayer perceptron on top of every model: Linear, ReLU, dropout, layer by layer.

Shapes: B rows, W width of the input, H width of the last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from reclora_cli.crm.blocks.dropout import Dropout


class Mlp(nn.Module):
    """Hidden layers only; the output layer is the model's.

    Args:
        width: W.
        layers: hidden widths; the last is H.
        dropout: chance that a hidden unit is dropped in training.
    """

    def __init__(self, width: int, layers: Sequence[int], dropout: float) -> None:
        super().__init__()
        widths = [width, *layers]
        self.width = widths[-1]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(into, out), nn.ReLU(), Dropout(dropout))
                for into, out in pairwise(widths)
            )
        )

    def forward(self, x_BW: Tensor) -> Tensor:
        """(B, W) -> (B, H)."""
        return self.layers(x_BW)

"""Caser's convolutions (Tang and Wang 2018, section 3.2) over an image of the latest behaviours.

Shapes: B rows, H behaviours, V width of a behaviour, h height of a filter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reclora_cli.crm.blocks.parts import by_parts

_ROWS_IN_CACHE = 128


class HorizontalFilters(nn.Module):
    """Filters as wide as a behaviour and ``h`` of them high: patterns of h successive behaviours.

    Each filter slides along time; ReLU, and its largest value counts wherever it lies.

    Args:
        width: V.
        heights: every h, none above H.
        filters: of each height.
    """

    def __init__(self, width: int, heights: Sequence[int], filters: int) -> None:
        super().__init__()
        self.width = len(heights) * filters
        self.by_height = nn.ModuleList(nn.Conv1d(width, filters, height) for height in heights)

    def forward(self, image_BHV: Tensor) -> Tensor:
        """(B, heights times filters)."""
        return by_parts(self._largest, image_BHV, rows=_ROWS_IN_CACHE)

    def _largest(self, image_BHV: Tensor) -> Tensor:
        image_BVH = image_BHV.transpose(1, 2)
        # The largest before ReLU: the same, and ReLU touches one value instead of H.
        return F.relu(torch.cat([layer(image_BVH).amax(2) for layer in self.by_height], dim=1))


class VerticalFilters(nn.Module):
    """Filters as high as the image and one column wide: weighted sums of all behaviours.

    Args:
        length: H.
        width: V.
        filters: how many.
    """

    def __init__(self, length: int, width: int, filters: int) -> None:
        super().__init__()
        self.width = filters * width
        self.over_time = nn.Linear(length, filters, bias=False)

    def forward(self, image_BHV: Tensor) -> Tensor:
        """(B, filters times V)."""
        return (self.over_time.weight @ image_BHV).flatten(1)

"""Caser as a next-item model: Convolutional Sequence Embedding Recommendation (Tang and Wang, WSDM
2018, https://arxiv.org/abs/1809.07426).

The history is an image, time by embedding (section 3.1). Horizontal filters find patterns of
successive items, vertical ones weigh all of them (section 3.2); a fully connected layer makes z of
both (Eq. 9).

Departures from the paper: no embedding of the user joins z (section 3.3), for the users of
validation and test have none; the table of items scores them too, where the paper has a second
one; the loss is softmax cross-entropy over all items. Rows with fewer items have zeros in front.

Shapes: B rows, L items of history, H of them in the image, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reclora_cli.crm.blocks.convolution import HorizontalFilters, VerticalFilters
from reclora_cli.crm.blocks.pooling import aligned_to_end
from reclora_cli.crm.sequence.base import SequenceEncoder
from reclora_cli.recipe.tree import CrmRecipe


class CaserEncoder(SequenceEncoder):
    """Convolutions over the history; z is a fully connected layer of what they find."""

    def __init__(self, items: int, history: int, recipe: CrmRecipe) -> None:
        super().__init__(items, history, recipe)
        own, width = recipe.caser, recipe.embedding
        self.length = max(history, *own.heights)
        self.horizontal = HorizontalFilters(width, own.heights, own.horizontal)
        self.vertical = VerticalFilters(self.length, width, own.vertical)
        self.join = nn.Linear(self.horizontal.width + self.vertical.width, width)

    def represent(self, items_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, D)."""
        image_BHD = self.embedding(aligned_to_end(items_BL, mask_BL, self.length))
        found_BX = torch.cat([self.horizontal(image_BHD), self.vertical(image_BHD)], dim=1)
        return F.relu(self.join(self.dropout(found_BX)))

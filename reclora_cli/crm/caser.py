"""Caser: Convolutional Sequence Embedding Recommendation (Tang and Wang, WSDM 2018,
https://arxiv.org/abs/1809.07426).

The latest behaviours are an image, time by embedding (section 3.1). Horizontal filters find
patterns of successive behaviours, vertical ones weigh all of them (section 3.2); a fully connected
layer makes one vector of both, which the paper joins with the user's embedding and scores every
item by (section 3.3).

Departures from the paper: it is used as a CTR model, as RecLoRA's comparison does. The vector joins
the embeddings of all fields (user's and target's) before the MLP, and the loss is BCE. A behaviour
is its item and its rating. The image holds ``history`` behaviours, many more than the paper's L, so
horizontal filters have the heights that the recipe lists, not every height up to L. Rows with
fewer behaviours have zeros in front.

Shapes: B rows, F fields, L behaviours, H of them in the image, D embedding width, V = 2 D.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from reclora_cli.crm.base import Crm, Interaction, Widths
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.convolution import HorizontalFilters, VerticalFilters
from reclora_cli.crm.blocks.dropout import Dropout
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.pooling import aligned_to_end
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.inputs import behaviour_width, fields_and_behaviours
from reclora_cli.recipe.tree import CrmRecipe


class Caser(Crm):
    """Convolutions over the latest behaviours, then an MLP over fields and what they find."""

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__(shape, recipe)
        own, width = recipe.caser, behaviour_width(recipe.embedding)
        self.length = max(recipe.history, *own.heights)
        self.embedding = FieldEmbedding(shape.size, recipe.embedding)
        self.horizontal = HorizontalFilters(width, own.heights, own.horizontal)
        self.vertical = VerticalFilters(self.length, width, own.vertical)
        self.dropout = Dropout(recipe.dropout)
        self.join = nn.Linear(self.horizontal.width + self.vertical.width, width)

    @classmethod
    def widths_of(cls, shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        sequence = behaviour_width(recipe.embedding)
        return Widths(mlp=shape.fields * recipe.embedding + sequence)

    def interact(self, batch: CrmBatch) -> Interaction:
        """Embeddings of all fields, then the convolutional embedding, (B, F D + V)."""
        # The latest H behaviours, the latest in the last line; zeros where none is.
        fields_BFD, image_BHV = fields_and_behaviours(
            self.embedding,
            batch.fields_BF,
            aligned_to_end(batch.items_BL, batch.mask_BL, self.length),
            aligned_to_end(batch.ratings_BL, batch.mask_BL, self.length),
        )
        found_BX = torch.cat([self.horizontal(image_BHV), self.vertical(image_BHV)], dim=1)
        sequence_BV = F.relu(self.join(self.dropout(found_BX)))
        return Interaction(torch.cat([fields_BFD.flatten(1), sequence_BV], dim=1))

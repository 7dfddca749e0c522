"""DIN: Deep Interest Network (Zhou et al., KDD 2018, https://arxiv.org/abs/1706.06978).

Target attention over the user's recent behaviours: the pooled behaviours, a vector that differs
from target to target, go into an MLP beside the embeddings of all fields.

Departures from the paper: ReLU for PReLU/Dice (RecLoRA's grid), and a behaviour is its item *and*
its rating, as in RecLoRA's ten fields. Item embeddings are shared with the target's and compared
with it; the rating is context of the attention. Both are pooled, side by side.

Shapes: B rows, F fields, L behaviours, R ratings that occur, D embedding width.
"""

from __future__ import annotations

import torch

from reclora_cli.crm.base import Crm, Interaction, Widths
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.pooling import pool
from reclora_cli.crm.blocks.target_attention import TargetAttention
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.inputs import ratings_carried
from reclora_cli.recipe.tree import CrmRecipe


class DIN(Crm):
    """Attention of the target item to behaviours, then an MLP over fields and pooled behaviours."""

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__(shape, recipe)
        width = recipe.embedding
        self.embedding = FieldEmbedding(shape.size, width)
        self.attention = TargetAttention(width, width, recipe.attention_layers)

    @staticmethod
    def widths_of(shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        return Widths(mlp=(shape.fields + 2) * recipe.embedding)

    def interact(self, batch: CrmBatch) -> Interaction:
        """Embeddings of all fields, then the pooled items and ratings, (B, (F + 2) D)."""
        ratings = ratings_carried(batch, self.embedding)
        fields_BFD, items_BLD, rating_RD = self.embedding.several(
            batch.fields_BF, batch.items_BL, ratings.values_R
        )
        target_BD = fields_BFD[:, self.shape.item_field]
        weights_BL = self.attention(target_BD, items_BLD, rating_RD, ratings.is_BLR, batch.mask_BL)
        pooled = pool(weights_BL, items_BLD), ratings.pool(weights_BL, rating_RD)
        return Interaction(torch.cat([fields_BFD.flatten(1), *pooled], dim=1))

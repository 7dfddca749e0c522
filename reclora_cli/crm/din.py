"""DIN: Deep Interest Network (Zhou et al., KDD 2018, https://arxiv.org/abs/1706.06978).

Target attention over the user's recent behaviours: the pooled behaviours, a vector that differs
from target to target, go into an MLP beside the embeddings of all fields.

Departures from the paper: ReLU for PReLU/Dice (RecLoRA's grid), and a behaviour is its item *and*
its rating, as in RecLoRA's ten fields. Item embeddings are shared with the target's and compared
with it; the rating is context of the attention. Both are pooled, side by side.

Shapes: B rows, F fields, L behaviours, R values of a context that occur, C contexts of a behaviour,
D embedding width.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from reclora_cli.crm.base import Crm, Interaction, Widths
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.few_values import Carried
from reclora_cli.crm.blocks.pooling import pool
from reclora_cli.crm.blocks.target_attention import TargetAttention
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.inputs import ratings_carried
from reclora_cli.recipe.tree import CrmRecipe

Context = tuple[Carried, Tensor]
"""What behaviours carry beside their item, and the embeddings of its values, (R, D)."""


class DIN(Crm):
    """Attention of the target item to behaviours, then an MLP over fields and pooled behaviours."""

    contexts: ClassVar[int] = 1

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__(shape, recipe)
        width = recipe.embedding
        self.embedding = FieldEmbedding(shape.size, width)
        self.attention = TargetAttention(width, [width] * self.contexts, recipe.attention_layers)

    @classmethod
    def widths_of(cls, shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        return Widths(mlp=(shape.fields + 1 + cls.contexts) * recipe.embedding)

    def interact(self, batch: CrmBatch) -> Interaction:
        """Embeddings of all fields, then the pooled items and contexts, (B, (F + 1 + C) D)."""
        ratings = ratings_carried(batch, self.embedding)
        fields_BFD, items_BLD, rating_RD = self.embedding.several(
            batch.fields_BF, batch.items_BL, ratings.values_R
        )
        target_BD = fields_BFD[:, self.shape.item_field]
        carried = [(ratings, rating_RD), *self.further_contexts(batch)]
        weights_BL = self.attention(
            target_BD,
            items_BLD,
            [vectors_RD for _, vectors_RD in carried],
            torch.cat([values.is_BLR for values, _ in carried], dim=2),
            batch.mask_BL,
        )
        pooled = [values.pool(weights_BL, vectors_RD) for values, vectors_RD in carried]
        return Interaction(
            torch.cat([fields_BFD.flatten(1), pool(weights_BL, items_BLD), *pooled], dim=1)
        )

    def further_contexts(self, batch: CrmBatch) -> list[Context]:
        """What behaviours carry beside item and rating: ``contexts - 1`` of them."""
        return []

"""How a model's embeddings read a batch, for what several models read alike.

Shapes: B rows, F target fields, L behaviours, R ratings that occur, D embedding width, V = 2 D.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.few_values import Carried
from reclora_cli.crm.blocks.pooling import mean_weights, pool

HISTORY_FIELDS = 2
"""Item and rating of the behaviours."""


def ratings_carried(batch: CrmBatch, embedding: FieldEmbedding) -> Carried:
    """The ratings of the behaviours, told apart for products with ``embedding``'s vectors."""
    return Carried.of(batch.ratings_BL, embedding.table.weight.dtype)


def fields_and_mean_history(batch: CrmBatch, *embeddings: FieldEmbedding) -> tuple[Tensor, ...]:
    """Of each embedding the target fields, then the means of the history's two, (B, F + 2, D).

    Models of feature interaction know no sequence: RecLoRA gives them the mean-pooled history as
    extra fields. A row without behaviours has zeros there.
    """
    ratings = ratings_carried(batch, embeddings[0])
    weights_BL = mean_weights(batch.mask_BL, ratings.is_BLR)
    share_BR = pool(weights_BL, ratings.is_BLR)
    found = []
    for embedding in embeddings:
        items_BD, fields_BFD, rating_RD = embedding.pooled(
            batch.items_BL, weights_BL, batch.fields_BF, ratings.values_R
        )
        means_B2D = torch.stack([items_BD, share_BR @ rating_RD], dim=1)
        found.append(torch.cat([fields_BFD, means_B2D], dim=1))
    return tuple(found)


def fields_and_behaviours(
    embedding: FieldEmbedding, fields_BF: Tensor, items_BL: Tensor, ratings_BL: Tensor
) -> tuple[Tensor, Tensor]:
    """The target fields, (B, F, D), and each behaviour as its item's and its rating's embedding
    side by side, (B, L, V)."""
    fields_BFD, behaviours_BL2D = embedding.several(
        fields_BF, torch.stack([items_BL, ratings_BL], dim=2)
    )
    return fields_BFD, behaviours_BL2D.flatten(2)


def behaviour_width(width: int) -> int:
    """V of a model whose embeddings are ``width`` wide."""
    return HISTORY_FIELDS * width

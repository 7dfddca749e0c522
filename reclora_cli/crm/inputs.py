"""How a model's embeddings read a batch, for what several models read alike.

Shapes: B rows, F target fields, L behaviours, D embedding width, V = 2 D.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.pooling import mean_weights, pool

HISTORY_FIELDS = 2
"""Item and rating of the behaviours."""


def fields_and_mean_history(embedding: FieldEmbedding, batch: CrmBatch) -> Tensor:
    """Embeddings of the target fields, then the means of the history's two, (B, F + 2, D).

    Models of feature interaction know no sequence: RecLoRA gives them the mean-pooled history as
    extra fields. A row without behaviours has zeros there.
    """
    items_BLD, ratings_BLD = embedding(batch.items_BL), embedding(batch.ratings_BL)
    weights_BL = mean_weights(batch.mask_BL, items_BLD)
    fields_BFD = embedding(batch.fields_BF)
    pooled_BV = pool(weights_BL, items_BLD, ratings_BLD)
    pooled_B2D = pooled_BV.view(len(pooled_BV), HISTORY_FIELDS, fields_BFD.shape[2])
    return torch.cat([fields_BFD, pooled_B2D], dim=1)


def behaviours(embedding: FieldEmbedding, items_BL: Tensor, ratings_BL: Tensor) -> Tensor:
    """Each behaviour as its item's and its rating's embedding side by side, (B, L, V)."""
    return torch.cat([embedding(items_BL), embedding(ratings_BL)], dim=2)


def behaviour_width(width: int) -> int:
    """V of a model whose embeddings are ``width`` wide."""
    return HISTORY_FIELDS * width

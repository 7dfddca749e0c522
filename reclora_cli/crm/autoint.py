"""AutoInt (Song et al., CIKM 2019, https://arxiv.org/abs/1810.11921).

Interacting layers: each field attends to all fields, head by head (Eq. 5-7), and keeps itself by a
projected residual, ReLU(found + W_Res e) (Eq. 8). Queries and keys meet in a plain inner product,
not a scaled one. The output layer reads all fields of the last layer side by side (Eq. 9).

This is the paper's AutoInt+: an MLP over the same embeddings beside the interacting
layers, trained jointly. So there are hidden layers for R_c, and both networks make it.

Departures from the paper: the history joins as two more fields, the means of its items' and of its
ratings' embeddings (RecLoRA's setting for models of feature interaction); dropout is on attention
weights and in the MLP.

Shapes: B rows, F fields, M = F + 2, D embedding width, C width into a layer, W width of attention.
"""

from __future__ import annotations

from torch import Tensor, nn

from reclora_cli.crm.base import Crm, Interaction, Widths
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.self_attention import SelfAttention
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.inputs import HISTORY_FIELDS, fields_and_mean_history
from reclora_cli.recipe.tree import CrmRecipe


class InteractingLayer(nn.Module):
    """One layer of Eq. 5-8.

    Args:
        into: C.
        width: W, over all heads.
        heads: a divisor of ``width``.
        dropout: of attention weights.
    """

    def __init__(self, into: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(into, width, heads, scale=1.0, dropout=dropout)
        self.residual = nn.Linear(into, width, bias=False)

    def forward(self, fields_BMC: Tensor) -> Tensor:
        """(B, M, C) -> (B, M, W)."""
        return self.residual(fields_BMC).add_(self.attention(fields_BMC, fields_BMC)).relu_()


class AutoInt(Crm):
    """Self-attention among fields beside an MLP."""

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__(shape, recipe)
        own = recipe.autoint
        self.embedding = FieldEmbedding(shape.size, recipe.embedding)
        self.interacting = nn.Sequential(
            *(
                InteractingLayer(into, own.width, own.heads, recipe.dropout)
                for into in [recipe.embedding] + [own.width] * (own.layers - 1)
            )
        )

    @classmethod
    def widths_of(cls, shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        fields = shape.fields + HISTORY_FIELDS
        return Widths(mlp=fields * recipe.embedding, beside=fields * recipe.autoint.width)

    def interact(self, batch: CrmBatch) -> Interaction:
        """Embeddings of all fields, (B, M D), and what attention makes of them, (B, M W)."""
        [fields_BMD] = fields_and_mean_history(batch, self.embedding)
        interacted_BMW = self.interacting(fields_BMD)
        return Interaction(mlp_BW=fields_BMD.flatten(1), beside_BX=interacted_BMW.flatten(1))

"""DCN V2 (Wang et al., WWW 2021, https://arxiv.org/abs/2008.13535).

A cross network, x_{l+1} = x_0 * (W_l x_l + b_l) + x_l (Eq. 1), beside an MLP (Eq. 2) over the same
embeddings: the paper's parallel structure, with full matrices W_l (not DCN-Mix). The output layer
reads both ends side by side (section 3.4), so both make R_c.

Departures from the paper: the history joins as two more fields, the means of its items' and of its
ratings' embeddings (RecLoRA's setting for models of feature interaction).

Shapes: B rows, F fields, M = F + 2, D embedding width, W = M D.
"""

from __future__ import annotations

from reclora_cli.crm.base import Crm, Interaction, Widths
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.cross import CrossNetwork
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.inputs import HISTORY_FIELDS, fields_and_mean_history
from reclora_cli.recipe.tree import CrmRecipe


class DCNv2(Crm):
    """Crossings of bounded order beside an MLP."""

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__(shape, recipe)
        self.embedding = FieldEmbedding(shape.size, recipe.embedding)
        self.cross = CrossNetwork(self.widths_of(shape, recipe).beside, recipe.dcnv2.cross_layers)

    @classmethod
    def widths_of(cls, shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        width = (shape.fields + HISTORY_FIELDS) * recipe.embedding
        return Widths(mlp=width, beside=width)

    def interact(self, batch: CrmBatch) -> Interaction:
        """Embeddings of all fields, (B, W), and their crossings, (B, W)."""
        [fields_BMD] = fields_and_mean_history(batch, self.embedding)
        fields_BW = fields_BMD.flatten(1)
        return Interaction(mlp_BW=fields_BW, beside_BX=self.cross(fields_BW))

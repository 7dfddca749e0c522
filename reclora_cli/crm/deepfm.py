"""DeepFM (Guo et al., IJCAI 2017, https://arxiv.org/abs/1703.04247).

    logit = y_FM + y_DNN                                        (Eq. 1)
    y_FM  = sum of first-order weights + sum of inner products of all pairs of fields  (Eq. 2)
    y_DNN = an MLP over the same embeddings, side by side       (Eq. 3-4)

Departures from the paper: the history joins as two more fields, the means of its items' and of its
ratings' embeddings and first-order weights (RecLoRA's setting for models of feature interaction).

Shapes: B rows, F fields, M = F + 2, D embedding width.
"""

from __future__ import annotations

from reclora_cli.crm.base import Crm, Interaction, Widths
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.cross import second_order
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.inputs import HISTORY_FIELDS, fields_and_mean_history
from reclora_cli.recipe.tree import CrmRecipe


class DeepFM(Crm):
    """A factorisation machine and an MLP that share their embeddings."""

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__(shape, recipe)
        self.embedding = FieldEmbedding(shape.size, recipe.embedding)
        self.first_order = FieldEmbedding(shape.size, 1)

    @classmethod
    def widths_of(cls, shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        return Widths(mlp=(shape.fields + HISTORY_FIELDS) * recipe.embedding)

    def interact(self, batch: CrmBatch) -> Interaction:
        """Embeddings of all fields, (B, M D), and the factorisation machine's part of the logit."""
        fields_BMD, weights_BM1 = fields_and_mean_history(batch, self.embedding, self.first_order)
        first_order_B = weights_BM1.sum(dim=(1, 2))
        return Interaction(
            mlp_BW=fields_BMD.flatten(1), logit_B=first_order_B + second_order(fields_BMD)
        )

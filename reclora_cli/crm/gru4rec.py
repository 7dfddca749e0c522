"""GRU4Rec (Hidasi et al., ICLR 2016, https://arxiv.org/abs/1511.06939).

A gated recurrent unit (section 3) reads the behaviours in time order; its last state is what the
user is about. The paper scores every item from that state with a ranking loss over sessions.

Departures from the paper: it is used as a CTR model, as RecLoRA's comparison does. The last state
joins the embeddings of all fields (the target's among them) before the MLP, and the loss is BCE. A
behaviour is its item and its rating. Dropout is between recurrent layers and in the MLP. The cell
is PyTorch's: its reset gate multiplies U h, where the paper's multiplies h.

Shapes: B rows, F fields, L behaviours, D embedding width, S size of the state.
"""

from __future__ import annotations

import torch
from torch import nn

from reclora_cli.crm.base import Crm, Interaction, Widths
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.pooling import last
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.inputs import behaviour_width, fields_and_behaviours
from reclora_cli.recipe.tree import CrmRecipe


class GRU4Rec(Crm):
    """A recurrent network over the behaviours, then an MLP over fields and its last state."""

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__(shape, recipe)
        own = recipe.gru4rec
        self.embedding = FieldEmbedding(shape.size, recipe.embedding)
        self.recurrent = nn.GRU(
            behaviour_width(recipe.embedding),
            own.width,
            own.layers,
            batch_first=True,
            dropout=recipe.dropout if own.layers > 1 else 0.0,
        )

    @classmethod
    def widths_of(cls, shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        return Widths(mlp=shape.fields * recipe.embedding + recipe.gru4rec.width)

    def interact(self, batch: CrmBatch) -> Interaction:
        """Embeddings of all fields, then the last state, (B, F D + S); no behaviours: zeros."""
        fields_BFD, behaviours_BLV = fields_and_behaviours(
            self.embedding, batch.fields_BF, batch.items_BL, batch.ratings_BL
        )
        # It runs on over padding, which stands at the end: the state to read comes before it.
        states_BLS, _ = self.recurrent(behaviours_BLV)
        state_BS = last(states_BLS, batch.mask_BL)
        return Interaction(torch.cat([fields_BFD.flatten(1), state_BS], dim=1))

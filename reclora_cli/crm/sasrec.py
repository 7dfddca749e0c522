"""SASRec: Self-Attentive Sequential Recommendation (Kang and McAuley, ICDM 2018,
https://arxiv.org/abs/1808.09781).

Behaviours with learnt positions (Eq. 1) go through blocks of causal self-attention (Eq. 2-3) and a
point-wise feed-forward network (Eq. 4), each as x + Dropout(g(LayerNorm(x))) (section III.C). The
last behaviour's output sums up the sequence; the paper scores items by its inner product with them.

Departures from the paper: it is used as a CTR model, as RecLoRA's comparison does. The last output
joins the embeddings of all fields (the target's among them) before the MLP, and the loss is BCE. A
behaviour is its item and its rating; a linear layer takes them to the width of attention, which
need not be the embeddings'. Positions count back from the latest behaviour, so a row has the same
ones however it is padded. Dropout is also on attention weights.

Of the last block only the last output is read, so only that is computed, and its attention without
a key or value of any behaviour (``SelfAttention.of_one``): the same output for far less work.

Shapes: B rows, F fields, L behaviours, D embedding width, S width of attention.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reclora_cli.crm.base import Crm, Interaction, Widths
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.dropout import Dropout
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.parts import by_parts
from reclora_cli.crm.blocks.pooling import last, steps_back
from reclora_cli.crm.blocks.self_attention import SelfAttention, causal
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.inputs import behaviour_width, fields_and_behaviours
from reclora_cli.recipe.tree import CrmRecipe

_POSITION_SPREAD = 0.05
_ROWS_IN_CACHE = 256


class SasrecBlock(nn.Module):
    """Self-attention, then a feed-forward network, each with a residual.

    Args:
        width: S.
        heads: a divisor of ``width``.
        dropout: of attention weights and of what is added to the residual.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        scale = (width // heads) ** -0.5
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, width, heads, scale=scale, dropout=dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x_BLS: Tensor) -> Tensor:
        """Every behaviour reads itself and those before it: (B, L, S) -> (B, L, S)."""
        norm_BLS = self.attention_norm(x_BLS)
        mask_LL = causal(x_BLS.shape[1], x_BLS.device)
        return self._add(x_BLS, self.attention(norm_BLS, norm_BLS, mask_LL))

    def of_last(self, x_BLS: Tensor, mask_BL: Tensor) -> Tensor:
        """``forward`` of each row's last behaviour alone, (B, S); a row must have one."""
        norm_BLS = self.attention_norm(x_BLS)
        found_BS = self.attention.of_one(last(norm_BLS, mask_BL), norm_BLS, mask_BL)
        return self._add(last(x_BLS, mask_BL), found_BS)

    def _add(self, x: Tensor, found: Tensor) -> Tensor:
        x = x + self.dropout(found)
        return x + self.dropout(self.feed_forward(x))


class SASRec(Crm):
    """Self-attention along the behaviours, then an MLP over fields and its last output."""

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__(shape, recipe)
        own = recipe.sasrec
        self.embedding = FieldEmbedding(shape.size, recipe.embedding)
        self.widen = nn.Linear(behaviour_width(recipe.embedding), own.width, bias=False)
        positions = torch.empty(max(recipe.history, 1), own.width)
        self.positions = nn.Parameter(nn.init.normal_(positions, std=_POSITION_SPREAD))
        self.dropout = Dropout(recipe.dropout)
        self.blocks = nn.ModuleList(
            SasrecBlock(own.width, own.heads, recipe.dropout) for _ in range(own.layers)
        )

    @classmethod
    def widths_of(cls, shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        return Widths(mlp=shape.fields * recipe.embedding + recipe.sasrec.width)

    def interact(self, batch: CrmBatch) -> Interaction:
        """Embeddings of all fields, then the last output, (B, F D + S); no behaviours: zeros."""
        fields_BFD, behaviours_BLV = fields_and_behaviours(
            self.embedding, batch.fields_BF, batch.items_BL, batch.ratings_BL
        )
        sequence_BS = by_parts(self._sequence, behaviours_BLV, batch.mask_BL, rows=_ROWS_IN_CACHE)
        return Interaction(torch.cat([fields_BFD.flatten(1), sequence_BS], dim=1))

    def _sequence(self, behaviours_BLV: Tensor, present_BL: Tensor) -> Tensor:
        """(B, S)."""
        # A row without behaviours reads a padded slot, so that softmax has something to weigh.
        mask_BL = present_BL.clone()
        mask_BL[:, 0] = True
        x_BLS = self._positioned(behaviours_BLV, mask_BL)
        *before, final = self.blocks
        assert isinstance(final, SasrecBlock)
        for block in before:
            x_BLS = block(x_BLS)
        return final.of_last(x_BLS, mask_BL).masked_fill(~present_BL[:, :1], 0.0)

    def _positioned(self, behaviours_BLV: Tensor, mask_BL: Tensor) -> Tensor:
        """Behaviours with their positions, (B, L, S); further back than all is the furthest."""
        behaviours_BLS = self.widen(behaviours_BLV)
        back_BL = steps_back(mask_BL).clamp(0, len(self.positions) - 1)
        # Not ``positions[back_BL]``: its gradient adds up in an order that threads decide.
        return self.dropout(behaviours_BLS + F.embedding(back_BL, self.positions))

"""SASRec as it was made: Self-Attentive Sequential Recommendation (Kang and McAuley, ICDM 2018,
https://arxiv.org/abs/1808.09781), which gives iLoRA's gate its representation.

Items with learnt positions (Eq. 1) go through blocks of causal self-attention and a point-wise
feed-forward network (Eq. 2-5), a LayerNorm ends them, and the last item's output scores items by
inner products with the embeddings that the history is read with (Eq. 6, shared).

Departures from the paper: the loss is softmax cross-entropy over all items, where the paper draws
one negative; each position of a sequence is a row of its own. Positions count back from the latest
item, so a row is the same however it is padded.

Shapes: B rows, L items of history, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reclora_cli.crm.blocks.pooling import steps_back
from reclora_cli.crm.sasrec import SasrecBlock
from reclora_cli.crm.sequence.base import SequenceEncoder
from reclora_cli.errors import UsageError
from reclora_cli.recipe.tree import CrmRecipe

_POSITION_SPREAD = 0.05


class SasrecEncoder(SequenceEncoder):
    """Self-attention along the history; z is the last item's output."""

    def __init__(self, items: int, history: int, recipe: CrmRecipe) -> None:
        super().__init__(items, history, recipe)
        own = recipe.sasrec
        if own.width != recipe.embedding:
            raise UsageError(
                f"attention is {own.width} wide and embeddings {recipe.embedding}; SASRec scores "
                "items by the embeddings that it reads, so both are one",
                where="crm.sasrec.width",
                hint=f"--set crm.sasrec.width={recipe.embedding}",
            )
        positions = torch.empty(history, own.width)
        self.positions = nn.Parameter(nn.init.normal_(positions, std=_POSITION_SPREAD))
        self.blocks = nn.ModuleList(
            SasrecBlock(own.width, own.heads, recipe.dropout) for _ in range(own.layers)
        )
        self.norm = nn.LayerNorm(own.width)

    def represent(self, items_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, D)."""
        back_BL = steps_back(mask_BL).clamp(0, len(self.positions) - 1)
        x_BLD = self.dropout(self.embedding(items_BL) + F.embedding(back_BL, self.positions))
        *before, final = self.blocks
        assert isinstance(final, SasrecBlock)
        for block in before:
            x_BLD = block(x_BLD)
        z_BD: Tensor = self.norm(final.of_last(x_BLD, mask_BL))
        return z_BD

"""GRU4Rec as a next-item model (Hidasi et al., ICLR 2016, https://arxiv.org/abs/1511.06939).

A gated recurrent unit (section 3) reads the history in time order; a feed-forward layer between
its last state and the scores (Figure 1) makes z of it.

Departures from the paper: inputs are embeddings, not one-hot vectors, and the table of items scores
them too. The loss is softmax cross-entropy over all items, where the paper ranks a target against
those of the mini-batch. A history starts at most ``history`` items back, from a zero state.

Shapes: B rows, L items of history, D width of z, S size of the state.
"""

from __future__ import annotations

from torch import Tensor, nn

from reclora_cli.crm.blocks.pooling import last
from reclora_cli.crm.sequence.base import SequenceEncoder
from reclora_cli.recipe.tree import CrmRecipe


class Gru4RecEncoder(SequenceEncoder):
    """A recurrent network over the history; z is a linear layer of its last state."""

    def __init__(self, items: int, history: int, recipe: CrmRecipe) -> None:
        super().__init__(items, history, recipe)
        own = recipe.gru4rec
        self.recurrent = nn.GRU(
            recipe.embedding,
            own.width,
            own.layers,
            batch_first=True,
            dropout=recipe.dropout if own.layers > 1 else 0.0,
        )
        self.join = nn.Linear(own.width, recipe.embedding)

    def represent(self, items_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, D)."""
        # It runs on over padding, which stands at the end: the state to read comes before it.
        states_BLS, _ = self.recurrent(self.dropout(self.embedding(items_BL)))
        z_BD: Tensor = self.join(last(states_BLS, mask_BL))
        return z_BD

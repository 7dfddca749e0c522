"""What every sequence encoder is: a history in, z and a score for each candidate out.

    represent  embeddings of the history -> z (each model's own part)
    score      z . e of each candidate, e from the table that the history is read with

z is what iLoRA's gate reads. Sharing the table of items is SASRec's (Eq. 6 and section III.G);
here all encoders do.

Shapes: B rows, L items of history, D width of z and of embeddings, C candidates, V items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from reclora_cli import catalog
from reclora_cli.crm.blocks.dropout import Dropout
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.errors import RecloraError
from reclora_cli.recipe.tree import CrmRecipe


class SequenceEncoder(nn.Module, ABC):
    """A model of one file of this folder.

    Args:
        items: V.
        history: L at most.
        recipe: its ``crm`` section; ``embedding`` is D.
    """

    def __init__(self, items: int, history: int, recipe: CrmRecipe) -> None:
        super().__init__()
        self.items, self.history = items, history
        self.representation_width = recipe.embedding
        # Index 0 is padding, so an item's row is its id plus one.
        self.embedding = FieldEmbedding(items + 1, recipe.embedding)
        self.dropout = Dropout(recipe.dropout)

    @abstractmethod
    def represent(self, items_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """z of each row, (B, D).

        Args:
            items_BL: rows of the table of embeddings, 0 where none is.
            mask_BL: true where an item is; each row has one.
        """

    def encode(self, history_BL: Tensor) -> Tensor:
        """z of each row, (B, D).

        Args:
            history_BL: int64 item ids in time order, negative behind the last.

        Raises:
            RecloraError: a row holds no item, or one that the model does not know.
        """
        self._check(history_BL)
        mask_BL = history_BL >= 0
        return self.represent(torch.where(mask_BL, history_BL + 1, 0), mask_BL)

    def score(self, history_BL: Tensor, candidates_BC: Tensor) -> Tensor:
        """Score of each candidate, (B, C), higher for one that is likelier to come next.

        Args:
            candidates_BC: int64 item ids.
        """
        z_BD = self.encode(history_BL)
        found_BCD = self.embedding(candidates_BC + 1)
        return (found_BCD @ z_BD[:, :, None])[:, :, 0]

    def forward(self, history_BL: Tensor) -> Tensor:
        """Score of every item, (B, V)."""
        return self.encode(history_BL) @ self.embedding.table.weight[1:].T

    def _check(self, history_BL: Tensor) -> None:
        if history_BL.shape[1] > self.history:
            raise RecloraError(
                f"a history of {history_BL.shape[1]} items, and the encoder reads {self.history}"
            )
        if history_BL.device.type != "cpu" or not len(history_BL):
            return
        if int(history_BL.max()) >= self.items:
            raise RecloraError(
                f"item {int(history_BL.max())} in a history, and the encoder knows {self.items}",
                hint="Train it on these sequences: reclora pretrain-crm --force",
            )
        if bool((history_BL[:, 0] < 0).any()):
            raise RecloraError("a row's history is empty: there is nothing to encode")


def build_encoder(items: int, history: int, recipe: CrmRecipe) -> SequenceEncoder:
    """The untrained encoder that the recipe names; initial weights from torch's global stream.

    Raises:
        UsageError: no sequence encoder is called so, or its settings do not fit each other.
    """
    model = catalog.SEQUENCE_ENCODERS.load(recipe.model, where="crm.model")
    built: SequenceEncoder = model(items, history, recipe)
    return built

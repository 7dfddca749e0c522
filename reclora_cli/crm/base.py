"""What every conventional recommendation model is: features in, R_c and a logit out.

    interact  rows -> what the MLP reads, and what goes beside it (each model's own part)
    mlp       -> hidden layers
    output    -> logit

R_c is the last hidden layer, all that the output layer reads (``final``, the authors' code), or
the MLP's input (``pre_mlp``, RecLoRA Eq. 3 and 12 read literally).

Shapes: B rows, W width of the MLP's input, H of its last layer, X of what goes beside it, d of R_c.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from reclora_cli import catalog
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.mlp import Mlp
from reclora_cli.crm.features import FeatureShape
from reclora_cli.recipe.tree import CrmRecipe


@dataclass(frozen=True)
class Widths:
    """Sizes of a model's ``Interaction``: W, and X (0 for nothing beside the MLP)."""

    mlp: int
    beside: int = 0


@dataclass(frozen=True)
class Interaction:
    """A model's own part of B rows.

    Attributes:
        mlp_BW: what the MLP reads.
        beside_BX: what the output layer reads beside the MLP's last layer, when the model crosses
            features in a network parallel to the MLP.
        logit_B: what is added to the logit.
    """

    mlp_BW: Tensor
    beside_BX: Tensor | None = None
    logit_B: Tensor | None = None


class Crm(nn.Module, ABC):
    """A model of one file of this room, built from sizes and a recipe.

    Args:
        shape: of the feature space it reads.
        recipe: its ``crm`` section.
    """

    default_behaviours: ClassVar[Literal["recent", "retrieved"]] = "recent"
    reads_texts: ClassVar[bool] = False

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__()
        self.shape = shape
        self.representation = recipe.representation
        widths = self.widths_of(shape, recipe)
        self.representation_width = _representation_width(widths, recipe)
        self.mlp = Mlp(widths.mlp, recipe.dnn_layers, recipe.dropout)
        self.output = nn.Linear(self.mlp.width + widths.beside, 1)

    @classmethod
    @abstractmethod
    def widths_of(cls, shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        """W and X."""

    @abstractmethod
    def interact(self, batch: CrmBatch) -> Interaction:
        """What the MLP reads, (B, W), and what goes beside it."""

    def encode(self, batch: CrmBatch) -> Tensor:
        """R_c of each row, (B, d)."""
        return self.encode_and_score(batch)[0]

    def forward(self, batch: CrmBatch) -> Tensor:
        """Logit of "will like" for each row, (B,)."""
        return self.encode_and_score(batch)[1]

    def encode_and_score(self, batch: CrmBatch) -> tuple[Tensor, Tensor]:
        """R_c (B, d) and logit (B,) in one pass.

        Raises:
            RecloraError: an index is outside the vocabulary; of a batch on a CPU.
        """
        if batch.fields_BF.device.type == "cpu":
            batch.require_below(self.shape.size)
        interaction = self.interact(batch)
        final_BH = self.mlp(interaction.mlp_BW)
        if interaction.beside_BX is not None:
            final_BH = torch.cat([final_BH, interaction.beside_BX], dim=1)
        logit_B = self.output(final_BH).squeeze(-1)
        if interaction.logit_B is not None:
            logit_B = logit_B + interaction.logit_B
        return (final_BH if self.representation == "final" else interaction.mlp_BW), logit_B


def build(shape: FeatureShape, recipe: CrmRecipe, encoder: nn.Module | None = None) -> Crm:
    """The untrained CRM that the recipe names; initial weights come from torch's global stream.

    Args:
        encoder: what a model of texts reads tokens with and trains along (``ReadTexts.encoder``).

    Raises:
        UsageError: no CRM is called so.
    """
    model = catalog.CRMS.load(recipe.model, where="crm.model")
    return model(shape, recipe) if encoder is None else model(shape, recipe, encoder)


def representation_width(recipe: CrmRecipe, shape: FeatureShape) -> int:
    """d, without building the model."""
    model = catalog.CRMS.load(recipe.model, where="crm.model")
    return _representation_width(model.widths_of(shape, recipe), recipe)


def _representation_width(widths: Widths, recipe: CrmRecipe) -> int:
    if recipe.representation == "pre_mlp":
        return widths.mlp
    return recipe.dnn_layers[-1] + widths.beside

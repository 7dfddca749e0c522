"""What every conventional recommendation model is: features in, R_c and a logit out.

    interact  rows -> what the MLP reads (each model's own part)
    mlp       -> last hidden layer
    output    -> logit

R_c is the last hidden layer (``final``, the authors' code) or the MLP's input (``pre_mlp``,
RecLoRA Eq. 3 and 12 read literally).

Shapes: B rows, W width of the MLP's input, d width of R_c.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

from reclora_cli import catalog
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.mlp import Mlp
from reclora_cli.crm.features import FeatureShape
from reclora_cli.recipe.tree import CrmRecipe


class Crm(nn.Module, ABC):
    """A model of one file of this room, built from sizes and a recipe.

    Args:
        shape: of the feature space it reads.
        recipe: its ``crm`` section.
    """

    default_behaviours: ClassVar[Literal["recent", "retrieved"]] = "recent"

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__()
        self.shape = shape
        self.representation = recipe.representation
        self.interaction_width = self.interaction_width_of(shape, recipe)
        self.mlp = Mlp(self.interaction_width, recipe.dnn_layers, recipe.dropout)
        self.output = nn.Linear(self.mlp.width, 1)

    @staticmethod
    @abstractmethod
    def interaction_width_of(shape: FeatureShape, recipe: CrmRecipe) -> int:
        """W."""

    @abstractmethod
    def interact(self, batch: CrmBatch) -> Tensor:
        """What the MLP reads, (B, W)."""

    @property
    def representation_width(self) -> int:
        """d."""
        return self.mlp.width if self.representation == "final" else self.interaction_width

    def encode(self, batch: CrmBatch) -> Tensor:
        """R_c of each row, (B, d)."""
        return self.encode_and_score(batch)[0]

    def forward(self, batch: CrmBatch) -> Tensor:
        """Logit of "will like" for each row, (B,)."""
        return self.encode_and_score(batch)[1]

    def encode_and_score(self, batch: CrmBatch) -> tuple[Tensor, Tensor]:
        """R_c (B, d) and logit (B,) in one pass."""
        interaction_BW = self.interact(batch)
        hidden_BH = self.mlp(interaction_BW)
        logit_B = self.output(hidden_BH).squeeze(-1)
        return (hidden_BH if self.representation == "final" else interaction_BW), logit_B


def build(shape: FeatureShape, recipe: CrmRecipe) -> Crm:
    """The untrained CRM that the recipe names; initial weights come from torch's global stream.

    Raises:
        UsageError: no CRM is called so.
    """
    return catalog.CRMS.load(recipe.model, where="crm.model")(shape, recipe)


def representation_width(recipe: CrmRecipe, shape: FeatureShape | None = None) -> int:
    """d, without building the model; ``shape`` is read only for ``pre_mlp``."""
    if recipe.representation == "final":
        return recipe.dnn_layers[-1]
    assert shape is not None, "the MLP's input is as wide as the feature space has fields"
    return catalog.CRMS.load(recipe.model, where="crm.model").interaction_width_of(shape, recipe)

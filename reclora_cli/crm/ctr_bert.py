"""CTR-BERT (Muhamed et al., 2021: "CTR-BERT: Cost-effective knowledge distillation for
billion-parameter teacher models"), as RecLoRA's baseline (appendix B.2): two towers and no ids.

One tower reads what is known of the user (profile, behaviours with their ratings), the other the
target item's text; an MLP over both (late fusion) gives the logit. The towers are twins: one
BERT-class encoder, whose weights both use. ``crm.ctr_bert.tuned``:

    all   the encoder is trained along. The user's text is one sequence: profile, then behaviours
          in time order, as many of the latest as fit the encoder's context.
    none  the encoder is frozen, and every distinct text is encoded once. A user's text differs
          from row to row, so its vector is put together from those of its parts: the profile's,
          and the mean over behaviours. A departure: within the user's text no token sees another
          part's, and the order of behaviours is lost. It makes the model fit for a laptop.

Other departures from the paper: no distillation from a larger teacher and no pre-training on
click logs, which RecLoRA's baseline lacks too; no tabular features in the fusion, since RecLoRA
gives it text alone. Text vectors are means over tokens, which the packaged encoder was trained
for.

Shapes: B rows, W width of both towers' vectors together, E width of one text's vector.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from reclora_cli.crm.base import Crm, Interaction, Widths
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.texts import Given, Towers
from reclora_cli.recipe.tree import CrmRecipe

_TEXTS = {"none": 3, "all": 2}
"""Vectors side by side: profile, behaviours and item; or user and item."""


class CTRBERT(Crm):
    """Two towers of text and an MLP over what they say.

    Args:
        shape: its ``text`` is E.
        recipe: its ``crm`` section.
        encoder: the towers' network when it is tuned (``ReadTexts.encoder``), else ``None``.
    """

    reads_texts: ClassVar[bool] = True

    def __init__(
        self, shape: FeatureShape, recipe: CrmRecipe, encoder: nn.Module | None = None
    ) -> None:
        assert (encoder is not None) == (recipe.ctr_bert.tuned == "all")
        super().__init__(shape, recipe)
        self.towers = Given() if encoder is None else Towers(encoder)

    @classmethod
    def widths_of(cls, shape: FeatureShape, recipe: CrmRecipe) -> Widths:
        assert shape.text, "a model of texts is built knowing their vectors' width"
        return Widths(mlp=_TEXTS[recipe.ctr_bert.tuned] * shape.text)

    def interact(self, batch: CrmBatch) -> Interaction:
        """The vectors of the user's and the item's text, (B, W)."""
        assert batch.texts is not None, "a model of texts is given them"
        return Interaction(self.towers(batch.texts))

"""What single CRMs have settings of their own for: ``crm.<model>`` of a recipe, where a hyphen of
the model's name is an underscore.

What several models read (embedding, history, MLP, dropout) stands in ``crm`` itself. A model's
section decides that model only: ``CrmRecipe.deciding`` leaves the others' out.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reclora_cli.recipe.section import PositiveInt, Section


class _Heads(Section):
    """Multi-head attention."""

    layers: PositiveInt = Field(description="of self-attention")
    heads: PositiveInt = Field(description="of attention")
    width: PositiveInt = Field(description="of attention, over all heads")

    @model_validator(mode="after")
    def _divides(self) -> _Heads:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, {self.heads}")
        return self


class AutoIntRecipe(_Heads):
    """AutoInt's interacting layers."""


class SASRecRecipe(_Heads):
    """SASRec's self-attention blocks; ``width`` is its feed-forward networks' too."""


class DCNv2Recipe(Section):
    """DCN V2's cross network."""

    cross_layers: PositiveInt = Field(description="layers of the cross network")


class GRU4RecRecipe(Section):
    """GRU4Rec's recurrent network."""

    layers: PositiveInt = Field(description="stacked GRU layers")
    width: PositiveInt = Field(description="of the state")


class CaserRecipe(Section):
    """Caser's convolutions."""

    vertical: PositiveInt = Field(description="vertical filters")
    horizontal: PositiveInt = Field(description="horizontal filters of each height")
    heights: tuple[PositiveInt, ...] = Field(
        description="how many successive behaviours horizontal filters see", min_length=1
    )


class CTRBERTRecipe(Section):
    """CTR-BERT's two towers."""

    encoder: str = Field(description="packaged name, hub id or model folder of a BERT-class model")
    tuned: Literal["none", "all"] = Field(
        description="none: the encoder is frozen, each distinct text is encoded once; all: trained"
    )
    micro_batch_tokens: PositiveInt = Field(
        description="tokens, padding included, in one pass of a trained encoder"
    )

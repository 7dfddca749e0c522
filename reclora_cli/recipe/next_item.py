"""The section of the task ``next`` (iLoRA and LLaRA; method.md section 2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reclora_cli.recipe.section import NonNegativeInt, PositiveInt, Section


class NextPromptRecipe(Section):
    """How a row of the task ``next`` is put to the LM."""

    template: str = Field(description="name of a family of wordings in the catalogue")
    items: Literal["text", "hybrid"] = Field(
        description="text: titles; hybrid: after each title also the item's embedding of the "
        "sequence encoder, projected into the LM's input space (LLaRA)"
    )
    curriculum: Literal["none", "linear"] = Field(
        description="of hybrid prompts: linear: a training prompt is hybrid with a chance that "
        "rises from 0 at the first step to 1 at the last (LLaRA); none: all are"
    )


class NextRecipe(Section):
    """The task ``next``: which of some candidates comes next in a user's history."""

    history: PositiveInt = Field(description="items of the history that a row holds, at most")
    least_history: PositiveInt = Field(
        description="items that the history of a validation or test row must have"
    )
    candidates: Annotated[int, Field(ge=2)] = Field(
        description="items to choose from, the truth among them"
    )
    draw: NonNegativeInt = Field(
        description="which draw of candidates: seeds of training are compared on the same one"
    )
    rated_from: float | None = Field(
        description="behaviours rated below are left out of histories and targets; null: none is"
    )
    stop_on: Literal["hit_ratio@1", "ndcg@5", "mrr"] = Field(
        description="the figure of validation rows that decides when a sequence encoder stops"
    )
    prompt: NextPromptRecipe

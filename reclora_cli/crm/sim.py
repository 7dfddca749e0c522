"""SIM: Search-based Interest Model (Pi et al., CIKM 2020, https://arxiv.org/abs/2006.05639).

Two stages: a search unit cuts a long history down to the behaviours that matter for the target,
then DIN's attention reads those. Here, as in RecLoRA, the search is by the cosine of LLM vectors
of item texts (``build-index``), the 60 best of the user's strict past, read in time order.

What was searched for may be long past. So each behaviour carries how long ago it was, an embedding
beside its own (the paper's exact search unit, Eq. 5), which the attention reads and pools.

Departures from the paper: the distance is counted in behaviours, not in seconds (``batch.age``);
one head of DIN's attention, since RecLoRA's SIM is DIN over what was retrieved; the search vectors
are the LLM's, not trained along (soft search) and not category equality (hard search).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from reclora_cli.crm.batch import OLDEST, CrmBatch
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.few_values import Carried
from reclora_cli.crm.din import DIN, Context
from reclora_cli.crm.features import FeatureShape
from reclora_cli.recipe.tree import CrmRecipe


class SIM(DIN):
    """DIN's network over behaviours retrieved for the target, which tell their age."""

    default_behaviours: ClassVar[Literal["recent", "retrieved"]] = "retrieved"
    contexts: ClassVar[int] = 2

    def __init__(self, shape: FeatureShape, recipe: CrmRecipe) -> None:
        super().__init__(shape, recipe)
        self.age = FieldEmbedding(1 + OLDEST, recipe.embedding)

    def further_contexts(self, batch: CrmBatch) -> list[Context]:
        """The behaviours' ages."""
        ages = Carried.of(batch.ages_BL, self.age.table.weight.dtype)
        return [(ages, self.age(ages.values_R))]

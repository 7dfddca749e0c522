"""What questions about new users are read from: their own behaviours, a run's CRM and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from reclora_cli.data.new_users import NewUser, NewUsers
from reclora_cli.retrieval.past import RankedPast
from reclora_cli.scoring.crm_scorer import CrmScorer, Represents
from reclora_cli.scoring.gate_ablations import OtherRows
from reclora_cli.scoring.target_free import TargetFreeCrm
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.crm_texts import texts_of_other_users

if TYPE_CHECKING:
    from reclora_cli.retrieval.catalogue import CatalogueIndex


class NewSources(Sources):
    """``Sources`` whose users are new ones, over the items of another one's store.

    Prompts, the CRM's inputs and the gate's are made by the same code; models are shared.
    """

    def __init__(self, known: Sources, users: Sequence[NewUser]) -> None:
        super().__init__(known.recipe, known.workspace, known.device, known.progress)
        self._known = known
        self._users = users

    @cached_property
    def store(self) -> NewUsers:
        return NewUsers(self._known.store, self._users)

    @cached_property
    def ranked(self) -> RankedPast:
        """Ranked when asked, by the vectors of the known ones."""
        known = self._known.ranked
        return RankedPast(self.store, known.vectors, known.long)

    @cached_property
    def likeness(self) -> RankedPast | None:
        return self.ranked if self._known.likeness else None

    @cached_property
    def catalogue(self) -> CatalogueIndex:
        return self._known.catalogue

    @cached_property
    def crm(self) -> CrmScorer:
        known = self._known
        texts = texts_of_other_users(
            self.recipe,
            known.crm_texts,
            self.store,
            self.device,
            self.progress,
            known.text_encoder,
        )
        return known.crm.of_other_users(self.store, texts)

    @cached_property
    def user_crm(self) -> TargetFreeCrm:
        return TargetFreeCrm(self.crm, self.store, trained_on=self._known.store)

    def gate_reads(self) -> Represents:
        reads = super().gate_reads()
        if isinstance(reads, OtherRows):  # Drawn from training rows, of which new users have none.
            return OtherRows(self._known.crm, self._known.store, self.recipe.seed)
        return reads

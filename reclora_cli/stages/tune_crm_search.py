"""The search for a CRM's settings: a trial is trained as ``pretrain-crm`` trains it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from reclora_cli.progress import Progress
from reclora_cli.recipe import Recipe, grids
from reclora_cli.stages import locate, pretrain_crm
from reclora_cli.stages.crm_training import CrmTraining
from reclora_cli.stages.tune_search import Search
from reclora_cli.stages.tune_study import Asked
from reclora_cli.workspace import Artefact, Workspace


class CrmSearch(Search):
    """Over the paper's grid of the recipe's CRM.

    Args:
        held: keys of the recipe that are not searched.

    Raises:
        UsageError: the model has no grid, or all of it is held.
    """

    stage = "pretrain-crm"

    def __init__(
        self, recipe: Recipe, workspace: Workspace, device: torch.device, held: Collection[str]
    ) -> None:
        super().__init__(
            recipe,
            workspace,
            device,
            name=recipe.crm.model,
            grid=grids.grid_of(recipe.crm.model, held),
            decides=recipe.crm.stop_on,
            kept="best",
        )

    def parts(self) -> dict[str, Any]:
        of_crm = locate.recipe_parts("pretrain-crm", self.recipe)
        return {"grid": {key: list(values) for key, values in self.grid.items()}, "crm": of_crm}

    def place(self, recipe: Recipe) -> Artefact:
        return locate.crm(recipe, self.workspace)

    def train(
        self,
        recipe: Recipe,
        artefact: Artefact,
        asked: Asked,
        progress: Progress,
        *,
        tensorboard: bool,
    ) -> None:
        training = CrmTraining(recipe, self.workspace, self.device, artefact)
        artefact.path.mkdir(parents=True, exist_ok=True)
        pretrain_crm.make(
            training,
            self.inputs(recipe),
            progress,
            tensorboard=tensorboard,
            after_pass=asked.after_pass,
        )

    def cost(self, recipe: Recipe) -> tuple[float, int]:
        plan = CrmTraining(recipe, self.workspace, self.device, planned=True).plan()
        return plan.seconds, plan.memory_bytes

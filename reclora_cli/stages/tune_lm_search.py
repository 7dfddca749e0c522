"""The search for a fine-tuning's settings: a trial is tuned as ``finetune`` tunes it.

All trials share one loaded LM, the shots as examples, and the validation rows as questions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from reclora_cli.lora.adapters import Adapter
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe, delta, grids
from reclora_cli.stages import finetune, locate
from reclora_cli.stages.assemble import Sources, Speaker
from reclora_cli.stages.classroom import Classroom, Rows
from reclora_cli.stages.crm_validation import AfterPass, Groups
from reclora_cli.stages.evaluate import choose_rows
from reclora_cli.stages.lm_training import LmTraining, Watch
from reclora_cli.stages.lm_validation import LmValidation
from reclora_cli.stages.material import RatedRows
from reclora_cli.stages.tune_search import Search
from reclora_cli.stages.tune_study import Asked
from reclora_cli.training import StepLog
from reclora_cli.training.lm_work import steps_of
from reclora_cli.training.plan import TuningPlan
from reclora_cli.workspace import Artefact, Workspace

_COST_NOTHING = ("finetune.learning_rate", "finetune.gate_learning_rate", "gate.temperature")
"""Keys that decide what is learnt, and not how long that takes."""


class LmSearch(Search):
    """Over the paper's grid of the recipe's method, or over ``tune.grid``.

    Args:
        held: keys of the recipe that are not searched.

    Attributes:
        rows: validation rows that score each trial, ascending.

    Raises:
        UsageError: the recipe tunes nothing, or all of the grid is held.
    """

    stage = "finetune"

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        device: torch.device,
        held: Collection[str] = (),
        progress: Progress = SILENT,
    ) -> None:
        finetune.require_tunable(recipe)
        super().__init__(
            recipe,
            workspace,
            device,
            name=locate.method_name(recipe),
            grid=grids.lm_grid_of(
                recipe.adapter.kind,
                gated=locate.needs_crm(recipe),
                own=recipe.tune.grid,
                held=held,
            ),
            decides=recipe.tune.decides,
            kept="last",
        )
        self.sources = Sources(recipe, workspace, device, progress)
        self.rows = _chosen_rows(recipe, self.sources)
        self._classroom = Classroom(device, progress)
        self._plans: dict[str, TuningPlan] = {}

    def parts(self) -> dict[str, Any]:
        return {
            "grid": {key: list(values) for key, values in self.grid.items()},
            "tune": self.recipe.tune.model_dump(mode="json", exclude={"grid"}),
            "run": locate.recipe_parts("finetune", self.recipe),
        }

    def place(self, recipe: Recipe) -> Artefact:
        return locate.run(recipe, self.workspace)

    def train(
        self,
        recipe: Recipe,
        artefact: Artefact,
        asked: Asked,
        progress: Progress,
        *,
        tensorboard: bool,
    ) -> None:
        training = LmTraining(recipe, self.workspace, self.device, artefact, self._classroom)
        finetune.make(
            training,
            self.inputs(recipe),
            progress,
            tensorboard=tensorboard,
            watch=self._watch(recipe, training, progress, asked.after_pass),
        )

    def cost(self, recipe: Recipe) -> tuple[float, int]:
        """Scoring a token is taken for half of training on it: forward without backward."""
        plan = self._epoch_of(recipe)
        scored = recipe.tune.passes_per_epoch * len(self.rows) * plan.tokens_per_example
        epoch = plan.seconds * (1 + scored / plan.tokens / 2)
        return recipe.finetune.epochs * epoch, plan.memory_bytes

    def _epoch_of(self, recipe: Recipe) -> TuningPlan:
        """One epoch of it; trials that differ in rates and epochs alone share what is measured."""
        alike = {key: delta.value_at(self.recipe, key) for key in _COST_NOTHING}
        epoch = delta.changed(recipe, {**alike, "finetune.epochs": 1})
        key = locate.fingerprint_of("finetune", epoch)
        if key not in self._plans:
            device = self.device.type
            plan = finetune.run(epoch, self.workspace, device=device, dry_run=True).plan
            assert plan is not None
            self._plans[key] = plan
        return self._plans[key]

    def _watch(
        self, recipe: Recipe, training: LmTraining, progress: Progress, after_pass: AfterPass
    ) -> Watch:
        material = training.material
        assert isinstance(material, RatedRows), "the task next is not searched"

        def watch(speaker: Speaker, adapter: Adapter, log: StepLog) -> LmValidation:
            return LmValidation(
                recipe,
                steps_of(material.prompts, recipe.finetune),
                speaker,
                adapter,
                self._classroom.questions(recipe, material.sources, self.rows),
                Groups(self.sources.store, self.rows),
                log,
                progress,
                after_pass,
            )

        return watch


def _chosen_rows(recipe: Recipe, sources: Sources) -> Rows:
    """The rows that ``evaluate --split valid --rows N`` takes; all where there are no more."""
    every = len(sources.store.split("valid"))
    n = recipe.tune.rows if recipe.tune.rows < every else 0
    settings = recipe.evaluate.model_copy(update={"split": "valid", "rows": n})
    return np.asarray(choose_rows(sources.store, settings, recipe.seed), dtype=np.int64)

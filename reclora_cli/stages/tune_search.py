"""What a search for a CRM's settings looks through, and what it would take."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reclora_cli import recipe as recipes
from reclora_cli.recipe import Recipe, delta, grids
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.crm_training import CrmTraining
from reclora_cli.stages.crm_validation import unseen_share_of_test
from reclora_cli.stages.tune_study import Settings, TrialLine, TuningStudy
from reclora_cli.workspace import Artefact, Workspace

_PLANNED = 4
"""Settings of which a dry run times a few steps."""


@dataclass(frozen=True)
class TunePlan:
    """What a search would take, as predicted.

    Attributes:
        trials: still to be made.
        seconds_per_trial: mean of ``timed`` settings of the grid, all epochs, none pruned.
        memory_bytes: of the largest of them.
    """

    trials: int
    seconds: float
    seconds_per_trial: float
    memory_bytes: int
    timed: int


@dataclass(frozen=True)
class Wanted:
    """When a search ends."""

    trials: int | None
    minutes: float | None

    def satisfied(self, lines: list[TrialLine]) -> bool:
        if self.trials is not None:
            return len(lines) >= self.trials
        assert self.minutes is not None
        return sum(line.seconds for line in lines) >= 60 * self.minutes

    def told(self) -> str:
        return f"{self.trials} trials" if self.trials else f"{self.minutes:g} minutes"

    def missing(self, lines: int, seconds_per_trial: float) -> int:
        if self.trials is not None:
            return max(0, self.trials - lines)
        assert self.minutes is not None
        return max(1, round(60 * self.minutes / seconds_per_trial))


class Search:
    """What is searched, and what that is called."""

    def __init__(
        self, recipe: Recipe, workspace: Workspace, device: torch.device, held: Collection[str]
    ) -> None:
        self.recipe = recipe
        self.workspace = workspace
        self.device = device
        self.model = recipe.crm.model
        self.grid = grids.grid_of(self.model, held)
        self.unseen_share = unseen_share_of_test(Sources(recipe, workspace, device).store)

    def parts(self) -> dict[str, Any]:
        """What decides the trials."""
        of_crm = locate.recipe_parts("pretrain-crm", self.recipe)
        return {"grid": {key: list(values) for key, values in self.grid.items()}, "crm": of_crm}

    def artefact(self, inputs: Mapping[str, str]) -> Artefact:
        """Its folder: another for other settings, and for other data."""
        name = f"{self.model}-{recipes.fingerprint(self.parts(), inputs)[:8]}"
        return Artefact(self.workspace.dataset(self.recipe.data.source) / "tune" / name)

    def study(self, artefact: Artefact) -> TuningStudy:
        own = {key: delta.value_at(self.recipe, key) for key in self.grid}
        return TuningStudy(artefact.path, self.grid, own, self.recipe.crm.stop_on, self.recipe.seed)

    def plan(self, wanted: Wanted) -> TunePlan:
        """Time a few steps of a few settings."""
        plans = [
            CrmTraining(
                delta.changed(self.recipe, settings), self.workspace, self.device, planned=True
            ).plan()
            for settings in self._sample()
        ]
        each = float(np.mean([plan.seconds for plan in plans]))
        trials = min(wanted.missing(0, each), grids.combinations(self.grid))
        return TunePlan(
            trials=trials,
            seconds=round(trials * each, 1),
            seconds_per_trial=round(each, 1),
            memory_bytes=max(plan.memory_bytes for plan in plans),
            timed=len(plans),
        )

    def _sample(self) -> Iterator[Settings]:
        stream = numpy_stream(self.recipe.seed, "tune plan")
        for _ in range(min(_PLANNED, grids.combinations(self.grid))):
            yield {
                key: values[int(stream.integers(len(values)))] for key, values in self.grid.items()
            }

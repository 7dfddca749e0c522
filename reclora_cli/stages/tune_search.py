"""What a search for settings looks through, and what it would take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from reclora_cli import processes
from reclora_cli import recipe as recipes
from reclora_cli.progress import Progress
from reclora_cli.recipe import Recipe, delta, grids
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.crm_validation import unseen_share_of_test
from reclora_cli.stages.tune_study import Asked, Kept, Settings, TrialLine, TuningStudy
from reclora_cli.workspace import Artefact, Workspace

TRIALS = 20
"""How many where neither trials nor a budget are given."""

_PLANNED = 4
"""Settings of which a dry run tells what they take."""


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

    @classmethod
    def of(cls, trials: int | None, budget_minutes: float | None) -> Wanted:
        """What is asked for; without either, ``TRIALS``."""
        return cls(trials or (None if budget_minutes else TRIALS), budget_minutes)

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


class Search(ABC):
    """What is searched, what that is called, and how one trial of it is made.

    Args:
        name: of the model or method, e.g. ``sim`` or ``reclora-k16``.
        grid: key of the recipe -> its values.
        decides: whose validation AUC is maximised.
        kept: which validation pass a trial is judged by.

    Attributes:
        stage: what a trial is one of, as ``stages.locate`` names it.
        unseen_share: of test rows, whose user has no training row.

    Raises:
        UsageError: several processes were started.
    """

    stage: ClassVar[str]

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        device: torch.device,
        *,
        name: str,
        grid: grids.Grid,
        decides: str,
        kept: Kept,
    ) -> None:
        processes.require_alone("a search for settings")
        self.recipe, self.workspace, self.device = recipe, workspace, device
        self.name, self.grid, self.decides, self.kept = name, grid, decides, kept
        self.unseen_share = unseen_share_of_test(Sources(recipe, workspace, device).store)

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """What decides the trials."""

    @abstractmethod
    def place(self, recipe: Recipe) -> Artefact:
        """Where what ``recipe`` trains lies when it is trained alone."""

    @abstractmethod
    def train(
        self,
        recipe: Recipe,
        artefact: Artefact,
        asked: Asked,
        progress: Progress,
        *,
        tensorboard: bool,
    ) -> None:
        """Train under ``recipe`` into ``artefact``, to the end or until ``asked`` is pruned."""

    @abstractmethod
    def cost(self, recipe: Recipe) -> tuple[float, int]:
        """Seconds and bytes of memory that a trial under ``recipe`` would take, unpruned."""

    def fingerprint(self, recipe: Recipe) -> str:
        """Of the parts of ``recipe`` that decide what it trains."""
        return locate.fingerprint_of(self.stage, recipe)

    def inputs(self, recipe: Recipe) -> dict[str, str]:
        """Identities of what a training under ``recipe`` reads."""
        return locate.inputs_of(self.stage, recipe, self.workspace)

    def changed(self, settings: Settings) -> Recipe:
        """The recipe of a trial."""
        return delta.changed(self.recipe, settings)

    def artefact(self, inputs: Mapping[str, str]) -> Artefact:
        """Its folder: another for other settings, and for other data."""
        name = f"{self.name}-{recipes.fingerprint(self.parts(), inputs)[:8]}"
        return Artefact(self.workspace.dataset(self.recipe.data.source) / "tune" / name)

    def study(self, artefact: Artefact) -> TuningStudy:
        own = {key: delta.value_at(self.recipe, key) for key in self.grid}
        return TuningStudy(artefact.path, self.grid, own, self.decides, self.recipe.seed, self.kept)

    def plan(self, wanted: Wanted) -> TunePlan:
        """From a few settings of the grid."""
        costs = [self.cost(self.changed(settings)) for settings in self._sample()]
        each = float(np.mean([seconds for seconds, _ in costs]))
        trials = min(wanted.missing(0, each), grids.combinations(self.grid))
        return TunePlan(
            trials=trials,
            seconds=round(trials * each, 1),
            seconds_per_trial=round(each, 1),
            memory_bytes=max(memory for _, memory in costs),
            timed=len(costs),
        )

    def _sample(self) -> Iterator[Settings]:
        stream = numpy_stream(self.recipe.seed, "tune plan")
        for _ in range(min(_PLANNED, grids.combinations(self.grid))):
            yield {
                key: values[int(stream.integers(len(values)))] for key, values in self.grid.items()
            }

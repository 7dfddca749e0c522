"""Grids of the task ``next`` on the tiny sequences with a tiny LM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reclora_cli import recipe as recipes
from reclora_cli.pipeline import grid
from reclora_cli.pipeline.grid import Grid
from reclora_cli.recipe.experiment import ExperimentRecipe, load_experiment
from reclora_cli.stages import by_task
from reclora_cli.workspace import Workspace
from tests.sequences_world import prepared

ROWS = 7
SMALL = (
    "finetune.shots=4",
    "finetune.batch_size=2",
    "finetune.micro_batch_tokens=4096",
    f"evaluate.rows={ROWS}",
)


@pytest.fixture(scope="module")
def sequences_and_recipe(
    tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workspace, str]:
    """A workspace with the tiny sequences and their SASRec, and its recipe as a file."""
    folder = tmp_path_factory.mktemp("next")
    small, workspace = prepared(folder, **{"lm.name": str(tiny_lm)})
    by_task.pretrain_crm(small, workspace)
    file = folder / "mine.yaml"
    file.write_text(recipes.to_yaml(small), encoding="utf-8")
    return workspace, str(file)


def grid_of(name: str, recipe: str, *labels: str, **how: Any) -> Grid:
    """The shipped grid ``name`` at size tiny on the tiny sequences; of these cells, or of all."""
    shipped = load_experiment(name)
    if labels:
        shipped = _of(shipped, labels)
    overrides = [*SMALL, *how.pop("overrides", ())]
    [found] = grid.grids_of(name, shipped, "tiny", recipe=recipe, overrides=overrides, **how)
    return found


def _of(experiment: ExperimentRecipe, labels: tuple[str, ...]) -> ExperimentRecipe:
    cells = tuple(cell for cell in experiment.cells if cell.label in labels)
    assert len(cells) == len(labels), "labels of the table"
    held = experiment.reference if experiment.reference in labels else None
    return experiment.model_copy(update={"cells": cells, "reference": held})

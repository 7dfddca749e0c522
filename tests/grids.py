"""A grid of four cells on the tiny world with a tiny LM, and what tests of ablations ask of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from reclora_cli import recipe as recipes
from reclora_cli.pipeline import ablate, grid
from reclora_cli.pipeline.ablated import GridResult
from reclora_cli.pipeline.grid import Grid
from reclora_cli.recipe.experiment import ExperimentRecipe, experiment_from
from reclora_cli.workspace import Workspace
from tests.finetuning import Listening
from tests.world import TinyWorld

ROWS = 41
ABLATION = {
    "title": "An ablation",
    "layout": "ablation",
    "reference": "RecLoRA",
    "cells": [
        {"label": "RecLoRA"},
        {"label": "w/o meta-LoRA", "variant": "without-meta-lora"},
        {"label": "w/o short retriever", "variant": "without-short-retriever"},
        {"label": "uniform gate", "variant": "uniform-gate"},
    ],
    "sizes": {"tiny": {"recipes": ["ml-1m"]}},
    "published": {"ml-1m": {"RecLoRA": {"auc": 0.8141, "log_loss": 0.5248}}},
}


def experiment(tree: dict[str, Any]) -> ExperimentRecipe:
    return experiment_from(tree, where="test")


@pytest.fixture(scope="session")
def grid_recipe(ready_to_tune: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world's recipe as a file."""
    file = tmp_path_factory.mktemp("recipe") / "mine.yaml"
    small = ready_to_tune.recipe.model_dump(mode="json")
    small["evaluate"]["rows"] = ROWS
    file.write_text(recipes.to_yaml(recipes.from_tree(small)), encoding="utf-8")
    return file


def grid_of(tree: dict[str, Any], grid_recipe: Path, name: str = "mine", **how: Any) -> Grid:
    [found] = grid.grids_of(name, experiment(tree), "tiny", recipe=str(grid_recipe), **how)
    return found


def copy_of(world: TinyWorld, root: Path) -> Workspace:
    shutil.copytree(world.workspace.root, root)
    return Workspace(root)


@pytest.fixture(scope="session")
def walked_grid(
    ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workspace, Grid, GridResult, Listening]:
    workspace = copy_of(ready_to_tune, tmp_path_factory.mktemp("walked") / "ws")
    made, heard = grid_of(ABLATION, grid_recipe), Listening()
    result = ablate.run([made], workspace, heard, device="cpu")
    return workspace, made, result.grids[0], heard

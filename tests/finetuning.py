"""A world that is ready for ``finetune``, and what tests of it ask: kills, messages, bits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from reclora_cli.pipeline import graph
from reclora_cli.progress import SilentProgress
from reclora_cli.recipe import Recipe, delta
from reclora_cli.stages import finetune
from reclora_cli.stages.finetune import FinetuneResult
from reclora_cli.training import lm_work as lm_work_module
from reclora_cli.workspace import Workspace
from tests.world import TinyWorld


class Killed(Exception):
    pass


class Listening(SilentProgress):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)


@pytest.fixture(scope="session")
def ready_to_tune(
    tiny_world: TinyWorld, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyWorld:
    """The tiny world with index and CRM, which are made once. Read it only."""
    root = tmp_path_factory.mktemp("ready") / "ws"
    shutil.copytree(tiny_world.workspace.root, root)
    recipe = delta.changed(tiny_world.recipe, {"lm.name": str(tiny_lm), "gate.dropout": 0.3})
    workspace = Workspace(root)
    graph.ensure("finetune", recipe, workspace, device="cpu")
    return TinyWorld(tiny_world.raw, recipe, workspace)


def copied(world: TinyWorld, root: Path) -> TinyWorld:
    """A copy that a test may change."""
    shutil.copytree(world.workspace.root, root)
    return TinyWorld(world.raw, world.recipe, Workspace(root))


def tuned(recipe: Recipe, world: TinyWorld, **options: Any) -> FinetuneResult:
    if recipe.lm != world.recipe.lm:  # Another index belongs to it, and another CRM to that.
        graph.ensure("finetune", recipe, world.workspace, device="cpu")
    return finetune.run(recipe, world.workspace, device="cpu", **options)


def adapter_of(result: FinetuneResult) -> dict[str, torch.Tensor]:
    [file] = (Path(result.artefact) / "adapter").glob("*.safetensors")
    return load_file(file)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def kill_after(patch: pytest.MonkeyPatch, batches: int) -> None:
    """Let the process die in the middle of a step, as ``kill -9`` would: nothing is cleaned up."""
    loss, taken = lm_work_module.answer_loss, [0]

    def dying(*arguments: Any) -> torch.Tensor:
        taken[0] += 1
        if taken[0] > batches:
            raise Killed
        return loss(*arguments)

    patch.setattr(lm_work_module, "answer_loss", dying)

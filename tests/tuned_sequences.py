"""Tiny sequences with an encoder and the tiny LM: what tests of the task ``next`` tune and ask."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reclora_cli import recipe as recipes
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.recipe import Recipe
from reclora_cli.stages import finetune, locate, pretrain_encoder
from reclora_cli.stages.finetune import FinetuneResult
from reclora_cli.workspace import Workspace
from tests.sequences_world import SMALL, prepared

FEW = {
    **SMALL,
    "gate.hidden": 8,
    "finetune.shots": 16,
    "finetune.batch_size": 4,
    "finetune.epochs": 2,
    "finetune.learning_rate": 5e-3,
    "finetune.checkpoint_every": 2,
    "finetune.micro_batch_tokens": 4096,
    "finetune.gradient_checkpointing": "off",
}
METHODS = ("ilora", "ilora-hybrid", "llara", "lora")
HYBRID = {"ilora-hybrid", "llara"}


@dataclass(frozen=True)
class Sequenced:
    """A workspace with the tiny sequences and a SASRec."""

    lm: Path
    workspace: Workspace

    def recipe(self, method: str = "ilora", **values: Any) -> Recipe:
        return recipes.load(
            "lastfm", method=method, values={**FEW, "lm.name": str(self.lm), **values}
        )

    def store(self) -> SequenceStore:
        return SequenceStore(locate.store(self.recipe(), self.workspace).path)

    def tuned(self, recipe: Recipe, **options: Any) -> FinetuneResult:
        return finetune.run(recipe, self.workspace, device="cpu", **options)

    def copied(self, root: Path) -> Sequenced:
        """A copy that a test may change."""
        return Sequenced(self.lm, Workspace(shutil.copytree(self.workspace.root, root)))


@pytest.fixture(scope="session")
def sequenced(tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequenced:
    """Made once. Read it only; ``copied`` is for writing."""
    recipe, workspace = prepared(tmp_path_factory.mktemp("sequenced"))
    pretrain_encoder.run(recipe, workspace, device="cpu")
    return Sequenced(tiny_lm, workspace)

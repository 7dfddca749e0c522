"""Runs of the task ``next`` on the tiny sequences, scored on the same rows: every kind of gate."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from reclora_cli.recipe import Recipe
    from reclora_cli.workspace import Workspace

SHARED, SEPARATE, PLAIN = "ilora-k4-8-", "ilora-hybrid-separate-gates-k4-8-", "lora-8-"
"""How their names begin."""
ROWS = 6


@dataclass(frozen=True)
class NextWorld:
    """Tiny sequences with an encoder and three runs."""

    recipe: Recipe
    workspace: Workspace

    def folder(self, beginning: str) -> Path:
        """Of the one run whose name begins so."""
        [found] = self.workspace.root.glob(f"datasets/*/runs/{beginning}*")
        return found


@pytest.fixture(scope="session")
def next_runs(tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> NextWorld:
    """The runs; two of them are scored on test rows. Read it only; explanations may be kept."""
    from reclora_cli.recipe import delta
    from reclora_cli.stages import evaluate_next, finetune, pretrain_encoder
    from tests.sequences_world import prepared

    recipe, workspace = prepared(
        tmp_path_factory.mktemp("next"),
        **{
            "lm.name": str(tiny_lm),
            "finetune.shots": 8,
            "finetune.batch_size": 4,
            "gate.hidden": 8,
            "evaluate.rows": ROWS,
        },
    )
    pretrain_encoder.run(recipe, workspace, device="cpu")
    separate = {"next.prompt.items": "hybrid", "gate.scope": "projection"}
    for changes in ({"adapter.kind": "lora", "adapter.rank": 8}, separate, {}):
        finetune.run(delta.changed(recipe, changes), workspace, device="cpu")
    evaluate_next.run(recipe, workspace, runs=(SHARED, PLAIN), device="cpu")
    return NextWorld(recipe, workspace)


@pytest.fixture
def next_copy(next_runs: NextWorld, tmp_path: Path) -> NextWorld:
    """A copy that a test may change."""
    root = shutil.copytree(next_runs.workspace.root, tmp_path / "ws")
    return NextWorld(next_runs.recipe, type(next_runs.workspace)(root))

"""Two finished runs of the tiny world, a gated and a plain one, scored on the same test rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.world import TinyWorld

if TYPE_CHECKING:
    from reclora_cli.stages.evaluated import EvaluateResult
    from reclora_cli.workspace import Workspace

GATED, PLAIN = "reclora-k4-16-", "lora-r2-16-"
"""How their names begin."""
ROWS = 12


@pytest.fixture(scope="session")
def evaluation(tuned: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> EvaluateResult:
    """The evaluation, in a workspace of its own. Read it only."""
    from reclora_cli.recipe import delta
    from reclora_cli.stages import evaluate
    from reclora_cli.workspace import Workspace

    root = tmp_path_factory.mktemp("evaluated") / "ws"
    shutil.copytree(tuned.workspace.root, root)
    recipe = delta.changed(tuned.recipe, {"evaluate.rows": ROWS})
    return evaluate.run(recipe, Workspace(root), runs=(GATED, PLAIN), crm=False, device="cpu")


@pytest.fixture
def evaluated(evaluation: EvaluateResult, tmp_path: Path) -> Workspace:
    """A copy that a test may change, with an interrupted run beside the finished ones."""
    from reclora_cli.workspace import Workspace

    root = Path(evaluation.artefact).parents[3]
    copied = Workspace(Path(shutil.copytree(root, tmp_path / "ws")))
    whole = folder(copied, PLAIN)
    half = whole.with_name("lora-r2-32-00000000")
    shutil.copytree(whole, half, ignore=shutil.ignore_patterns("manifest.json", "scores"))
    (half / "checkpoints" / "step-00000002").mkdir(parents=True)
    (half / "checkpoints" / "step-00000004").mkdir()
    return copied


def folder(workspace: Workspace, beginning: str) -> Path:
    """The one run whose name begins so."""
    [found] = workspace.root.glob(f"datasets/*/runs/{beginning}*")
    return found

"""A real ``kill -9`` in the middle of a CRM's training, and the same call again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from reclora_cli import recipe as recipes
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate, pretrain_crm
from reclora_cli.workspace import Workspace
from tests.world import TinyWorld

_PROGRAM = """
import sys
from pathlib import Path
import torch
from reclora_cli import recipe
from reclora_cli.stages import pretrain_crm
from reclora_cli.workspace import Workspace
torch.set_num_threads(int(sys.argv[3]))
pretrain_crm.run(recipe.load(sys.argv[1]), Workspace(Path(sys.argv[2])), device="cpu")
"""
_DEADLINE_S = 120


def test_a_training_killed_for_real_gives_the_same_weights(tiny_copy: TinyWorld) -> None:
    recipe = _long(tiny_copy.recipe)
    workspace = tiny_copy.workspace
    pretrain_crm.run(recipe, workspace, device="cpu")
    folder = locate.crm(recipe, workspace).path
    expected = _outcome(folder)
    folder.rename(workspace.root / "expected")

    _kill_in_the_middle(recipe, workspace, folder)
    assert locate.crm(recipe, workspace).manifest() is None
    assert len(_outcome(folder)["log.jsonl"]) < len(expected["log.jsonl"])
    pretrain_crm.run(recipe, workspace, device="cpu")

    assert _outcome(folder) == expected


def _long(recipe: Recipe) -> Recipe:
    tree = recipe.model_dump(mode="json")
    tree["crm"] |= {"model": "din", "epochs": 40, "evaluations_per_epoch": 1, "patience": 1000}
    return recipes.from_tree(tree)


def _outcome(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("log.jsonl", "model.safetensors")}


def _kill_in_the_middle(recipe: Recipe, workspace: Workspace, folder: Path) -> None:
    file = workspace.root / "recipe.yaml"
    file.write_text(recipes.to_yaml(recipe), encoding="utf-8")
    threads = str(torch.get_num_threads())
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(file), str(workspace.root), threads],
        cwd=Path(__file__).resolve().parents[2],
    )
    end = time.monotonic() + _DEADLINE_S
    while not list(folder.glob("checkpoints/step-*")):
        assert process.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < end, "no checkpoint was written in time"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

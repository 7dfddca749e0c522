"""Tuning and scoring on GPUs: as on the CPU, and on several as on one.

Frozen LMs are in bf16 on a GPU, which carries about three digits: tolerances say so.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from reclora_cli import recipe as recipes
from reclora_cli.recipe import Recipe
from reclora_cli.stages import build_index, evaluate, finetune, locate, pretrain_crm
from reclora_cli.training import Log
from reclora_cli.workspace import Workspace
from tests.launch import SHARDED, start_two
from tests.tiny_lm import write_tiny_lm
from tests.world import TinyWorld

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

several = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs")

BF16_LOSS, BF16_SCORE = 3e-2, 2e-2
"""Relative, and absolute: bf16 against fp32, or bf16 sums in another order."""


@pytest.fixture(scope="module")
def made(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe file, and a workspace with an index and a CRM."""
    folder = tmp_path_factory.mktemp("gpu")
    root = shutil.copytree(tiny_world.workspace.root, folder / "ws")
    tree = tiny_world.recipe.model_dump(mode="json")
    tree["lm"]["name"] = str(write_tiny_lm(folder / "tiny"))
    tree["gate"]["dropout"] = 0.0
    tree["finetune"] |= {"batch_size": 5, "epochs": 3, "micro_batch_tokens": 500}
    tree["evaluate"] |= {"rows": 41, "batch_tokens": 900}
    file = folder / "mine.yaml"
    file.write_text(recipes.to_yaml(recipes.from_tree(tree)), encoding="utf-8")
    recipe = recipes.load(file)
    for stage in (build_index, pretrain_crm):
        stage.run(recipe, Workspace(root), device="cpu")
    return file, root


def workspace(made: tuple[Path, Path], to: Path) -> tuple[Recipe, Workspace]:
    file, root = made
    return recipes.load(file), Workspace(shutil.copytree(root, to))


def losses(recipe: Recipe, here: Workspace) -> list[float]:
    return [line["loss"] for line in Log(locate.run(recipe, here).path / "log.jsonl").read()]


def scores(recipe: Recipe, here: Workspace) -> np.ndarray:
    [file] = (locate.run(recipe, here).path / "scores").glob("*.parquet")
    return np.asarray(pq.read_table(file)["probability"])


@pytest.fixture(scope="module")
def on_one(
    made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[float], np.ndarray]:
    """Losses and scores of one GPU."""
    recipe, here = workspace(made, tmp_path_factory.mktemp("one") / "ws")
    finetune.run(recipe, here, device="cuda")
    evaluate.run(recipe, here, crm=False, device="cuda")
    return losses(recipe, here), scores(recipe, here)


def test_a_gpu_tunes_and_scores_as_the_cpu_does(
    made: tuple[Path, Path], on_one: tuple[list[float], np.ndarray], tmp_path: Path
) -> None:
    recipe, here = workspace(made, tmp_path / "ws")
    finetune.run(recipe, here, device="cpu")
    evaluate.run(recipe, here, crm=False, device="cpu")

    assert on_one[0] == pytest.approx(losses(recipe, here), rel=BF16_LOSS)
    np.testing.assert_allclose(on_one[1], scores(recipe, here), rtol=0, atol=BF16_SCORE)


@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_a_quantised_lm_learns_on_a_gpu(
    made: tuple[Path, Path], quantisation: str, tmp_path: Path
) -> None:
    recipe, here = workspace(made, tmp_path / "ws")
    lm = recipe.lm.model_copy(update={"quantisation": quantisation})
    result = finetune.run(recipe.model_copy(update={"lm": lm}), here, device="cuda")

    assert result.first_loss is not None
    assert result.last_loss is not None
    assert result.last_loss < result.first_loss


@several
@pytest.mark.parametrize("environment", [{}, SHARDED], ids=["DDP", "FSDP"])
def test_two_gpus_tune_and_score_as_one(
    made: tuple[Path, Path],
    on_one: tuple[list[float], np.ndarray],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    recipe, here = workspace(made, tmp_path / "ws")
    place = ["--recipe", str(made[0]), "-w", str(here.root), "--device", "cuda"]
    tuned = start_two("-m", "reclora_cli", "finetune", *place, "--json", **environment)
    assert tuned.returncode == 0, tuned.stderr
    scored = start_two("-m", "reclora_cli", "evaluate", *place, "--no-crm", **environment)
    assert scored.returncode == 0, scored.stderr

    assert json.loads(tuned.stdout)["steps"] == len(on_one[0])
    assert losses(recipe, here) == pytest.approx(on_one[0], rel=BF16_LOSS)
    np.testing.assert_allclose(scores(recipe, here), on_one[1], rtol=0, atol=BF16_SCORE)

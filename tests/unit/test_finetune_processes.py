"""Tuning and scoring in several processes: two of them, over gloo, do what one does.

Without dropout: each process draws dropout from a stream of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from reclora_cli import recipe as recipes
from reclora_cli.recipe import Recipe
from reclora_cli.stages import build_index, evaluate, finetune, locate, pretrain_crm
from reclora_cli.training import Log
from reclora_cli.workspace import Workspace
from tests.cli.conftest import clean_environment
from tests.launch import DEADLINE_S, SHARDED, launched, start_two
from tests.tiny_lm import write_tiny_lm
from tests.world import TinyWorld

WEIGHTS = 1e-5
"""Adapter weights may differ so much after 12 steps: float32 sums in another order."""

LOSS = 1e-5
"""Relative."""

SCORE = 1e-5
"""Scores of the same adapter may differ so much: they depend on what shares a micro-batch."""


@dataclass(frozen=True)
class Tuned:
    """A workspace, the recipe file, and what one process made of it."""

    workspace: Workspace
    recipe: Recipe
    file: Path
    run: str

    def copy(self, to: Path) -> Tuned:
        shutil.copytree(self.workspace.root, to)
        return Tuned(Workspace(to), self.recipe, self.file, self.run)

    def folder(self) -> Path:
        return self.workspace.run("ml-1m", self.run).path

    def forget_run(self) -> Tuned:
        shutil.rmtree(self.folder())
        return self

    def command(self, name: str, *options: str) -> list[str]:
        place = ["--recipe", str(self.file), "-w", str(self.workspace.root), "--device", "cpu"]
        return ["-m", "reclora_cli", name, *place, *options]

    def weights(self) -> dict:
        return load_file(self.folder() / "adapter" / "adapter.safetensors")

    def losses(self) -> list[float]:
        return [line["loss"] for line in Log(self.folder() / "log.jsonl").read()]

    def scores(self) -> np.ndarray:
        [file] = (self.folder() / "scores").glob("*.parquet")
        return np.asarray(pq.read_table(file)["probability"])


@pytest.fixture(scope="module")
def alone(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Tuned and scored by one process; 5 rows a step, so that shares and micro-batches differ."""
    folder = tmp_path_factory.mktemp("alone")
    root = shutil.copytree(tiny_world.workspace.root, folder / "ws")
    tree = tiny_world.recipe.model_dump(mode="json")
    tree["lm"]["name"] = str(write_tiny_lm(folder / "tiny"))
    tree["gate"]["dropout"] = 0.0
    tree["finetune"] |= {"shots": 16, "batch_size": 5, "epochs": 3, "micro_batch_tokens": 500}
    tree["evaluate"] |= {"rows": 41, "batch_tokens": 900}
    recipe = recipes.from_tree(tree)
    file = folder / "mine.yaml"
    file.write_text(recipes.to_yaml(recipe), encoding="utf-8")
    workspace = Workspace(root)
    for stage in (build_index, pretrain_crm):
        stage.run(recipe, workspace, device="cpu")
    result = finetune.run(recipe, workspace, device="cpu")
    assert result.steps == 12
    evaluate.run(recipe, workspace, crm=True, device="cpu")
    return Tuned(workspace, recipe, file, result.run)


@pytest.fixture(scope="module")
def two(alone: Tuned, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tuned, list]:
    """The same, tuned and scored by two processes."""
    here = alone.copy(tmp_path_factory.mktemp("two") / "ws").forget_run()
    done = [
        start_two(*here.command("finetune", "--json")),
        start_two(*here.command("evaluate", "--json")),
    ]
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    return here, done


@pytest.fixture(scope="module")
def sharded(alone: Tuned, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """The same, in two processes that hold half of the LM each."""
    here = alone.copy(tmp_path_factory.mktemp("sharded") / "ws").forget_run()
    for command in ("finetune", "evaluate"):
        done = start_two(*here.command(command), **SHARDED)
        assert done.returncode == 0, done.stderr
        assert "memory plan" not in done.stderr  # Planning follows a skeleton, not the parts.
    return here


def largest_difference(one: Tuned, other: Tuned) -> float:
    mine, theirs = one.weights(), other.weights()
    assert mine.keys() == theirs.keys()
    return max(float((mine[name] - theirs[name]).abs().max()) for name in mine)


def test_two_processes_tune_the_adapter_that_one_tunes(two: tuple[Tuned, list], alone: Tuned):
    assert largest_difference(two[0], alone) < WEIGHTS
    assert two[0].losses() == pytest.approx(alone.losses(), rel=LOSS)


def test_one_result_is_printed_and_nothing_is_left_beside_it(two: tuple[Tuned, list], alone: Tuned):
    here, (tuned, _) = two
    assert json.loads(tuned.stdout)["steps"] == 12

    def names(run: Path) -> set[str]:
        return {str(path.relative_to(run)) for path in run.rglob("*")}

    assert names(here.folder()) == names(alone.folder())


def require_scores_of_one(here: Tuned, to: Path) -> None:
    """What two processes scored is kept, and is what one process scores with the same adapter."""
    by_two, copy = here.scores(), here.copy(to)
    kept = evaluate.run(here.recipe, copy.workspace, crm=False, device="cpu")
    assert (kept.models[0].scored, len(by_two)) == (0, 41)
    evaluate.run(here.recipe, copy.workspace, crm=False, device="cpu", force=True)
    np.testing.assert_allclose(copy.scores(), by_two, rtol=0, atol=SCORE)


def test_scores_of_two_processes_are_those_of_one(two: tuple[Tuned, list], tmp_path: Path):
    require_scores_of_one(two[0], tmp_path / "ws")


def test_metrics_are_computed_once_and_told_once(two: tuple[Tuned, list], alone: Tuned):
    here, (_, scored) = two
    result = json.loads(scored.stdout)
    assert [model["scored"] for model in result["models"]] == [41, 0]  # The CRM's were kept.
    [by_one] = alone.workspace.dataset("ml-1m").glob("evaluations/*.json")
    [by_two] = set(here.workspace.dataset("ml-1m").glob("evaluations/*.json")) - {
        here.workspace.dataset("ml-1m") / "evaluations" / by_one.name
    }
    found, expected = (json.loads(file.read_text())["models"][0] for file in (by_two, by_one))
    assert found["all"]["auc"] == pytest.approx(expected["all"]["auc"], abs=1e-3)


def test_a_sharded_lm_tunes_the_same_adapter(sharded: Tuned, alone: Tuned):
    assert largest_difference(sharded, alone) < WEIGHTS
    assert sharded.losses() == pytest.approx(alone.losses(), rel=LOSS)


def test_a_sharded_lm_gives_the_same_scores(sharded: Tuned, tmp_path: Path):
    require_scores_of_one(sharded, tmp_path / "ws")


def begun(here: Tuned) -> subprocess.Popen[str]:
    """A tuning of two processes that has written a checkpoint."""
    process = subprocess.Popen(
        launched(*here.command("finetune")),
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + DEADLINE_S
    while not list(here.folder().glob("checkpoints/step-*/state.json")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a launcher started, by rank."""
    [children] = Path(f"/proc/{process.pid}/task").glob(f"{process.pid}/children")
    ranked = {}
    for child in children.read_text().split():
        content = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        variables = dict(part.split(b"=", 1) for part in content if b"=" in part)
        if b"RANK" in variables:
            ranked[int(variables[b"RANK"])] = int(child)
    return [ranked[rank] for rank in sorted(ranked)]


@pytest.fixture
def long(alone: Tuned, tmp_path: Path) -> Tuned:
    """A longer tuning, so that there is time to disturb it."""
    tree = alone.recipe.model_dump(mode="json")
    tree["finetune"] |= {"epochs": 12}
    file = tmp_path / "long.yaml"
    file.write_text(recipes.to_yaml(recipes.from_tree(tree)), encoding="utf-8")
    recipe = recipes.load(file)
    here = alone.copy(tmp_path / "ws").forget_run()
    name = locate.run(recipe, here.workspace).name
    return Tuned(here.workspace, recipe, file, name)


def test_a_process_that_dies_ends_all_with_a_message_and_one_process_can_go_on(
    long: Tuned, tmp_path: Path
):
    process = begun(long)
    ranks = workers(process)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    _, told = process.communicate(timeout=DEADLINE_S)

    assert process.returncode != 0
    assert "another of the 2 processes has ended" in told or "was stopped, and all end" in told
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    assert not (long.workspace.root / ".lock-holder").exists()
    finetune.run(long.recipe, long.workspace, device="cpu")
    by_both = long.losses()
    straight = long.copy(tmp_path / "straight").forget_run()
    finetune.run(long.recipe, straight.workspace, device="cpu")
    # Twelve epochs let the last bits grow: the first ones must be those of one process.
    assert by_both[:12] == pytest.approx(straight.losses()[:12], rel=LOSS)
    assert by_both == pytest.approx(straight.losses(), rel=1e-2)


def test_ctrl_c_ends_all_processes_and_two_can_go_on(long: Tuned):
    process = begun(long)
    ranks = workers(process)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=DEADLINE_S)

    assert process.returncode != 0
    assert "Interrupted." in told or "another of the 2 processes has ended" in told
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    assert not (long.workspace.root / ".lock-holder").exists()
    stopped_at = len(long.losses())
    again = start_two(*long.command("finetune", "--json"))
    assert again.returncode == 0, again.stderr
    assert "going on from step" in again.stderr
    assert json.loads(again.stdout)["steps"] == 48 > stopped_at

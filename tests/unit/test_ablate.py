"""Ablations on the tiny world with a tiny LM: what is shared, kept, gone on with, and told."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reclora_cli import recipe as recipes
from reclora_cli.errors import RecloraError
from reclora_cli.pipeline import ablate, grid
from reclora_cli.pipeline.ablated import CellResult, GridResult
from reclora_cli.pipeline.grid import Grid
from reclora_cli.recipe.experiment import ExperimentRecipe, experiment_from
from reclora_cli.stages import evaluate, finetune, locate, pretrain_crm, runs
from reclora_cli.workspace import Workspace
from tests.cli.conftest import clean_environment
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
LINES = {
    "title": "A figure",
    "layout": "lines",
    "axis": {"key": "finetune.shots", "title": "shots", "logarithmic": True},
    "cells": [{"label": "RecLoRA"}, {"label": "ReLLa", "method": "rella"}],
    "sizes": {"tiny": {"recipes": ["ml-1m"], "values": [4, 8]}},
}
MODELS = {
    "title": "Models",
    "layout": "models",
    "reference": "RecLoRA",
    "cells": [{"label": "DIN", "crm": "din"}, {"label": "RecLoRA"}],
    "sizes": {"tiny": {"recipes": ["ml-1m"]}},
}


def experiment(tree: dict[str, Any]) -> ExperimentRecipe:
    return experiment_from(tree, where="test")


@pytest.fixture(scope="module")
def mine(ready_to_tune: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world's recipe as a file."""
    file = tmp_path_factory.mktemp("recipe") / "mine.yaml"
    small = ready_to_tune.recipe.model_dump(mode="json")
    small["evaluate"]["rows"] = ROWS
    file.write_text(recipes.to_yaml(recipes.from_tree(small)), encoding="utf-8")
    return file


def grid_of(tree: dict[str, Any], mine: Path, name: str = "mine", **how: Any) -> Grid:
    [found] = grid.grids_of(name, experiment(tree), "tiny", recipe=str(mine), **how)
    return found


def copy_of(world: TinyWorld, root: Path) -> Workspace:
    import shutil

    shutil.copytree(world.workspace.root, root)
    return Workspace(root)


@pytest.fixture(scope="module")
def walked(
    ready_to_tune: TinyWorld, mine: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workspace, Grid, GridResult, Listening]:
    workspace = copy_of(ready_to_tune, tmp_path_factory.mktemp("walked") / "ws")
    made, heard = grid_of(ABLATION, mine), Listening()
    result = ablate.run([made], workspace, heard, device="cpu")
    return workspace, made, result.grids[0], heard


def test_every_cell_is_scored_on_the_same_rows(walked: tuple[Any, ...]) -> None:
    _, _, result, _ = walked
    assert [cell.label for cell in result.cells] == [
        one["label"]
        for one in ABLATION["cells"]  # type: ignore[index,union-attr]
    ]
    assert result.rows == ROWS
    for cell in result.cells:
        assert cell.auc.value is not None
        assert cell.auc.low is not None
        assert cell.auc.low <= cell.auc.value <= (cell.auc.high or 0)


def test_figures_are_those_that_evaluate_gives(walked: tuple[Any, ...]) -> None:
    workspace, made, result, _ = walked
    names = [cell.models[0] for cell in result.cells]
    again = evaluate.run(made.base, workspace, runs=names, crm=False, device="cpu")
    assert [model.scored for model in again.models] == [0] * len(names)
    assert [model.all.auc for model in again.models] == [cell.auc for cell in result.cells]
    against = {pair.model: pair for pair in again.differences}
    for cell in result.cells[1:]:
        assert cell.auc_difference == against[cell.models[0]].auc
        full = result.cells[0].auc.value
        assert cell.relative == pytest.approx(cell.auc.value / full - 1)


def test_what_cells_have_in_common_is_made_once(walked: tuple[Any, ...]) -> None:
    workspace, _, _, _ = walked
    assert len(workspace.artefacts("ml-1m", "crm")) == 1
    assert len(workspace.artefacts("ml-1m", "index")) == 1
    assert len(workspace.artefacts("ml-1m", "runs")) == 4


def test_no_evaluation_of_single_cells_is_kept(walked: tuple[Any, ...]) -> None:
    workspace, _, _, _ = walked
    assert len(list((workspace.dataset("ml-1m") / "evaluations").glob("*.json"))) == 1


def test_repeated_it_trains_and_scores_nothing(
    walked: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, made, result, _ = walked
    for stage in (finetune, pretrain_crm):
        monkeypatch.setattr(stage, "run", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(
        "reclora_cli.stages.contestants._lm_ask", lambda *_: pytest.fail("scored again")
    )
    [again] = ablate.run([made], workspace, device="cpu").grids
    assert again.cells == result.cells
    assert again.table == result.table


def test_progress_is_told_cell_by_cell(walked: tuple[Any, ...]) -> None:
    *_, heard = walked
    told = [line for line in heard.said if "/4  " in line]
    assert [line.split("  ")[1] for line in told] == ["1/4", "2/4", "3/4", "4/4"]
    assert all("AUC ." in line or "AUC 0" in line for line in told)
    assert "left" in told[0]
    assert "left" not in told[-1]


def test_files_hold_the_table_and_the_picture(walked: tuple[Any, ...]) -> None:
    _, _, result, _ = walked
    names = {Path(file).name for file in result.files}
    assert names == {"table.csv", "table.md", "table.tex", "figure.png", "figure.svg"}
    assert all(Path(file).stat().st_size > 0 for file in result.files)
    kept = json.loads(Path(result.artefact).read_text())
    assert kept["table"]["columns"][0] == "variant"
    assert [row[0] for row in kept["table"]["rows"]] == [cell.label for cell in result.cells]
    assert kept["figures"] == ["figure.svg"]


def test_the_papers_figures_stand_beside_ours(walked: tuple[Any, ...]) -> None:
    _, _, result, _ = walked
    names = [column.name for column in result.table.columns]
    assert names[-2:] == ["paper AUC", "paper LogLoss"]
    assert list(result.table.rows[0][-2:]) == [0.8141, 0.5248]
    assert list(result.table.rows[1][-2:]) == [None, None]
    assert "Vicuna-7B" in result.note


def test_a_dry_run_predicts_and_writes_nothing(
    ready_to_tune: TinyWorld, mine: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    before = sorted(path for path in workspace.root.rglob("*"))
    [planned] = ablate.run([grid_of(ABLATION, mine)], workspace, device="cpu", dry_run=True).grids
    assert sorted(path for path in workspace.root.rglob("*")) == before
    plan = planned.plan
    assert plan is not None
    assert [run.state for run in plan.runs] == ["new"] * 4
    assert [run.to_score for run in plan.runs] == [ROWS] * 4
    assert plan.shared == []
    assert plan.seconds is not None
    assert plan.seconds > 0


def test_a_dry_run_knows_what_is_done(walked: tuple[Any, ...], mine: Path) -> None:
    workspace, made, _, _ = walked
    plan = ablate.run([made], workspace, device="cpu", dry_run=True).grids[0].plan
    assert plan is not None
    assert {run.state for run in plan.runs} == {"done"}
    assert plan.seconds == 0
    more = grid_of(ABLATION, mine, overrides=["crm.embedding=4"])
    plan = ablate.run([more], workspace, device="cpu", dry_run=True).grids[0].plan
    assert plan is not None
    assert [run.state for run in plan.runs] == ["new", "done", "new", "done"]
    assert [stage.partition(" ")[0] for stage in plan.shared] == ["pretrain-crm"]
    assert plan.shared_seconds is not None


def test_a_figure_has_a_point_for_each_value(
    ready_to_tune: TinyWorld, mine: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    [result] = ablate.run([grid_of(LINES, mine)], workspace, device="cpu").grids
    assert [(cell.line, cell.x) for cell in result.cells] == [
        ("RecLoRA", 4),
        ("RecLoRA", 8),
        ("ReLLa", 4),
        ("ReLLa", 8),
    ]
    drawn = (Path(result.artefact).parent / "figure.svg").read_text()
    assert drawn.count("<svg") == 1
    # Held against nothing, so nothing differs from it.
    assert all(cell.auc_difference is None and cell.relative is None for cell in result.cells)
    assert result.table is not None
    assert [row[0] for row in result.table.rows] == [cell.label for cell in result.cells]


def test_models_are_told_by_how_much_the_reference_improves_on_them(
    ready_to_tune: TinyWorld, mine: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    [result] = ablate.run([grid_of(MODELS, mine)], workspace, device="cpu").grids
    din, full = result.cells
    assert (din.kind, full.kind) == ("crm", "run")
    assert din.tuning_seconds is None
    assert din.auc.value is not None
    assert full.auc.value is not None
    assert din.relative == pytest.approx(full.auc.value / din.auc.value - 1)
    assert full.relative is None


def test_seeds_are_told_as_mean_and_deviation(
    ready_to_tune: TinyWorld, mine: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    two: dict[str, Any] = {**ABLATION, "cells": ABLATION["cells"][:2]}  # type: ignore[index]
    [result] = ablate.run([grid_of(two, mine, seeds=2)], workspace, device="cpu").grids
    for cell in result.cells:
        assert cell.seeds == [0, 1]
        assert len(set(cell.models)) == 2
        assert cell.auc_over_seeds.sd is not None
    again = evaluate.run(
        grid_of(two, mine).base, workspace, runs=result.cells[0].models, crm=False, device="cpu"
    )
    values = [model.all.auc.value or 0 for model in again.models]
    spread = result.cells[0].auc_over_seeds
    assert spread.mean == pytest.approx(sum(values) / 2)
    assert spread.sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert result.table is not None
    assert "AUC, mean ± sd" in [column.name for column in result.table.columns]


def command_of(root: Path, mine: Path, *options: str) -> list[str]:
    variants = ["--variants", "without-meta-lora,without-short-retriever,uniform-gate"]
    place = ["--recipe", str(mine), "--device", "cpu", "--json", "-w", str(root)]
    overrides = ["--set", f"evaluate.rows={ROWS}", "--set", "finetune.shots=16"]
    return [sys.executable, "-m", "reclora_cli", "ablate", *variants, *place, *overrides, *options]


def without_times(file: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(file.read_text())
    for cell in tree["cells"]:
        cell["tuning_seconds"] = cell["scoring_seconds"] = None
    return {**tree, "seconds": None, "files": None, "artefact": None}


def test_killed_with_kill_9_at_random_times_and_repeated_it_gives_the_same_table(
    walked: tuple[Any, ...], ready_to_tune: TinyWorld, mine: Path, tmp_path: Path
) -> None:
    found = []
    for name, kills in (("straight", 0), ("killed", 4)):
        root = tmp_path / name
        copy_of(ready_to_tune, root)
        draw = random.Random(0)
        for _ in range(kills):
            process = subprocess.Popen(
                command_of(root, mine),
                env=clean_environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(draw.uniform(3, 8))
            process.kill()
            process.wait()
        done = subprocess.run(
            command_of(root, mine),
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        [file] = (root / "datasets" / "ml-1m" / "ablations").glob("*/result.json")
        found.append(without_times(file))
    assert found[0] == found[1]
    straight = walked[2]
    assert [cell["auc"]["value"] for cell in found[0]["cells"]] == [
        cell.auc.value for cell in straight.cells
    ]


def test_a_run_made_by_hand_is_a_cell(ready_to_tune: TinyWorld, mine: Path, tmp_path: Path) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    made = grid_of({**ABLATION, "cells": ABLATION["cells"][:1]}, mine)  # type: ignore[index]
    by_hand = finetune.run(made.cells[0].recipes[0], workspace, device="cpu")
    ablate.run([made], workspace, device="cpu")
    assert [run.name for run in runs.finished(workspace, "ml-1m")] == [by_hand.run]
    assert locate.run(made.base, workspace).name == by_hand.run


def test_a_cell_of_one_class_is_shown_as_undefined(walked: tuple[Any, ...]) -> None:
    from reclora_cli.metrics.compare import Figure
    from reclora_cli.pipeline.ablation_table import table_of
    from reclora_cli.tabular import to_markdown

    workspace, made, result, _ = walked
    names = [cell.models[0] for cell in result.cells]
    evaluated = evaluate.run(made.base, workspace, runs=names, crm=False, device="cpu")
    nothing: CellResult = replace(result.cells[1], auc=Figure(None, None, None), relative=None)
    table, _ = table_of(made, [result.cells[0], nothing], evaluated)
    assert "–" in to_markdown(table)


def test_two_runs_at_a_time_give_the_same_table(
    walked: tuple[Any, ...], ready_to_tune: TinyWorld, mine: Path, tmp_path: Path
) -> None:
    workspace, heard = copy_of(ready_to_tune, tmp_path / "ws"), Listening()
    made = grid_of(ABLATION, mine)
    [result] = ablate.run([made], workspace, heard, device="cpu", jobs=2).grids
    straight = walked[2]
    for cell, other in zip(result.cells, straight.cells, strict=True):
        # Threads are shared out among the processes: sums come in another order.
        assert cell.auc.value == pytest.approx(other.auc.value, abs=1e-6)
        assert cell.log_loss.value == pytest.approx(other.log_loss.value, abs=1e-6)
    assert "2 at a time" in heard.said[0]
    assert len([line for line in heard.said if "/4  " in line]) == 4
    logs = {file.name for file in (Path(result.artefact).parent / "logs").iterdir()}
    assert logs == {f"{cell.models[0]}.log" for cell in result.cells}


def processes_of(root: Path) -> list[int]:
    """Those under way whose job names the workspace: workers hold its files open."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes()
            environment = (place / "environ").read_bytes()
        except OSError:
            continue
        if b"ablation_worker" in line and str(root).encode() in environment:
            found.append(int(place.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads Linux's /proc")
def test_killed_with_kill_9_the_runs_at_its_side_end_too(
    ready_to_tune: TinyWorld, mine: Path, tmp_path: Path
) -> None:
    root = tmp_path / "ws"
    copy_of(ready_to_tune, root)
    process = subprocess.Popen(
        command_of(root, mine, "--jobs", "2"),
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(processes_of(root)) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    while processes_of(root):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    done = subprocess.run(
        command_of(root, mine, "--jobs", "2"),
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads Linux's /proc")
def test_interrupted_as_by_ctrl_c_the_runs_at_its_side_end_and_it_says_so(
    ready_to_tune: TinyWorld, mine: Path, tmp_path: Path
) -> None:
    root = tmp_path / "ws"
    copy_of(ready_to_tune, root)
    process = subprocess.Popen(
        command_of(root, mine, "--jobs", "2"),
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(processes_of(root)) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert processes_of(root) == []


def test_a_run_that_fails_at_the_side_is_told_with_its_last_words(
    ready_to_tune: TinyWorld, mine: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    made = grid_of(ABLATION, mine, overrides=["lm.yes=Nothing that a token stands for"])
    with pytest.raises(RecloraError) as caught:
        ablate.run([made], workspace, device="cpu", jobs=2)
    assert "ended with" in caught.value.what
    assert "logs" in (caught.value.where or "")
    assert "repeat" in (caught.value.hint or "")

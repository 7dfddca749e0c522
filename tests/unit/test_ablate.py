"""Ablations on the tiny world with a tiny LM: what is shared, kept, gone on with, and told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reclora_cli.pipeline import ablate
from reclora_cli.pipeline.ablated import CellResult
from reclora_cli.stages import evaluate, finetune, locate, pretrain_crm, runs
from tests.grids import ABLATION, ROWS, copy_of, grid_of
from tests.world import TinyWorld

LINES = {
    "title": "A figure",
    "layout": "lines",
    "axis": {"key": "finetune.shots", "title": "shots", "point": "{} shots", "logarithmic": True},
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


def test_every_cell_is_scored_on_the_same_rows(walked_grid: tuple[Any, ...]) -> None:
    _, _, result, _ = walked_grid
    assert [cell.label for cell in result.cells] == [
        one["label"]
        for one in ABLATION["cells"]  # type: ignore[index,union-attr]
    ]
    assert result.rows == ROWS
    for cell in result.cells:
        assert cell.auc.value is not None
        assert cell.auc.low is not None
        assert cell.auc.low <= cell.auc.value <= (cell.auc.high or 0)


def test_figures_are_those_that_evaluate_gives(walked_grid: tuple[Any, ...]) -> None:
    workspace, made, result, _ = walked_grid
    names = [cell.models[0] for cell in result.cells]
    again = evaluate.run(made.base, workspace, runs=names, crm=False, device="cpu")
    assert [model.scored for model in again.models] == [0] * len(names)
    assert [model.all.auc for model in again.models] == [cell.auc for cell in result.cells]
    against = {pair.model: pair for pair in again.differences}
    for cell in result.cells[1:]:
        assert cell.auc_difference == against[cell.models[0]].auc
        full = result.cells[0].auc.value
        assert cell.relative == pytest.approx(cell.auc.value / full - 1)


def test_what_cells_have_in_common_is_made_once(walked_grid: tuple[Any, ...]) -> None:
    workspace, _, _, _ = walked_grid
    assert len(workspace.artefacts("ml-1m", "crm")) == 1
    assert len(workspace.artefacts("ml-1m", "index")) == 1
    assert len(workspace.artefacts("ml-1m", "runs")) == 4


def test_no_evaluation_of_single_cells_is_kept(walked_grid: tuple[Any, ...]) -> None:
    workspace, _, _, _ = walked_grid
    assert len(list((workspace.dataset("ml-1m") / "evaluations").glob("*.json"))) == 1


def test_repeated_it_trains_and_scores_nothing(
    walked_grid: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, made, result, _ = walked_grid
    for stage in (finetune, pretrain_crm):
        monkeypatch.setattr(stage, "run", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(
        "reclora_cli.stages.contestants._lm_ask", lambda *_: pytest.fail("scored again")
    )
    [again] = ablate.run([made], workspace, device="cpu").grids
    assert again.cells == result.cells
    assert again.table == result.table


def test_progress_is_told_cell_by_cell(walked_grid: tuple[Any, ...]) -> None:
    *_, heard = walked_grid
    told = [line for line in heard.said if "/4  " in line]
    assert [line.split("  ")[1] for line in told] == ["1/4", "2/4", "3/4", "4/4"]
    assert all("AUC ." in line or "AUC 0" in line for line in told)
    assert "left" in told[0]
    assert "left" not in told[-1]


def test_files_hold_the_table_and_the_picture(walked_grid: tuple[Any, ...]) -> None:
    _, _, result, _ = walked_grid
    names = {Path(file).name for file in result.files}
    assert names == {"table.csv", "table.md", "table.tex", "figure.png", "figure.svg"}
    assert all(Path(file).stat().st_size > 0 for file in result.files)
    kept = json.loads(Path(result.artefact).read_text())
    assert kept["table"]["columns"][0] == "variant"
    assert [row[0] for row in kept["table"]["rows"]] == [cell.label for cell in result.cells]
    assert kept["table"]["note"] == result.table.note


def test_the_papers_figures_stand_beside_ours(walked_grid: tuple[Any, ...]) -> None:
    _, _, result, _ = walked_grid
    assert result.table.columns[-2:] == ["paper AUC", "paper LogLoss"]
    assert result.table.rows[0][-2:] == ["0.8141", "0.5248"]
    assert result.table.rows[1][-2:] == ["–", "–"]
    assert "Vicuna-7B" in result.table.note


def test_a_dry_run_predicts_and_writes_nothing(
    ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    before = sorted(path for path in workspace.root.rglob("*"))
    [planned] = ablate.run(
        [grid_of(ABLATION, grid_recipe)], workspace, device="cpu", dry_run=True
    ).grids
    assert sorted(path for path in workspace.root.rglob("*")) == before
    plan = planned.plan
    assert plan is not None
    assert [run.state for run in plan.runs] == ["new"] * 4
    assert [run.to_score for run in plan.runs] == [ROWS] * 4
    assert plan.shared == []
    assert plan.seconds is not None  # Tenths of a second: none, for so small an LM.
    assert "measured just now" in plan.from_what


def test_a_dry_run_knows_what_is_done(walked_grid: tuple[Any, ...], grid_recipe: Path) -> None:
    workspace, made, _, _ = walked_grid
    plan = ablate.run([made], workspace, device="cpu", dry_run=True).grids[0].plan
    assert plan is not None
    assert {run.state for run in plan.runs} == {"done"}
    assert plan.seconds == 0
    more = grid_of(ABLATION, grid_recipe, overrides=["crm.embedding=4"])
    plan = ablate.run([more], workspace, device="cpu", dry_run=True).grids[0].plan
    assert plan is not None
    assert [run.state for run in plan.runs] == ["new", "done", "new", "done"]
    assert [stage.partition(" ")[0] for stage in plan.shared] == ["pretrain-crm"]
    assert plan.shared_seconds is not None


def test_a_figure_has_a_point_for_each_value(
    ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    [result] = ablate.run([grid_of(LINES, grid_recipe)], workspace, device="cpu").grids
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
    ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    [result] = ablate.run([grid_of(MODELS, grid_recipe)], workspace, device="cpu").grids
    din, full = result.cells
    assert (din.kind, full.kind) == ("crm", "run")
    assert din.tuning_seconds is None
    assert din.auc.value is not None
    assert full.auc.value is not None
    assert din.relative == pytest.approx(full.auc.value / din.auc.value - 1)
    assert full.relative is None


def test_seeds_are_told_as_mean_and_deviation(
    ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    two: dict[str, Any] = {**ABLATION, "cells": ABLATION["cells"][:2]}  # type: ignore[index]
    [result] = ablate.run([grid_of(two, grid_recipe, seeds=2)], workspace, device="cpu").grids
    for cell in result.cells:
        assert cell.seeds == [0, 1]
        assert len(set(cell.models)) == 2
        assert cell.auc_over_seeds.sd is not None
    again = evaluate.run(
        grid_of(two, grid_recipe).base,
        workspace,
        runs=result.cells[0].models,
        crm=False,
        device="cpu",
    )
    values = [model.all.auc.value or 0 for model in again.models]
    spread = result.cells[0].auc_over_seeds
    assert spread.mean == pytest.approx(sum(values) / 2)
    assert spread.sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert result.table is not None
    assert "AUC, mean ± sd" in result.table.columns


def test_a_run_made_by_hand_is_a_cell(
    ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    made = grid_of({**ABLATION, "cells": ABLATION["cells"][:1]}, grid_recipe)  # type: ignore[index]
    by_hand = finetune.run(made.cells[0].recipes[0], workspace, device="cpu")
    ablate.run([made], workspace, device="cpu")
    assert [run.name for run in runs.finished(workspace, "ml-1m")] == [by_hand.run]
    assert locate.run(made.base, workspace).name == by_hand.run


def test_a_cell_of_one_class_is_shown_as_undefined(walked_grid: tuple[Any, ...]) -> None:
    from reclora_cli.metrics.compare import Figure
    from reclora_cli.pipeline.ablation_table import table_of
    from reclora_cli.tabular import to_markdown

    workspace, made, result, _ = walked_grid
    names = [cell.models[0] for cell in result.cells]
    evaluated = evaluate.run(made.base, workspace, runs=names, crm=False, device="cpu")
    nothing: CellResult = replace(result.cells[1], auc=Figure(None, None, None), relative=None)
    table = table_of(made, [result.cells[0], nothing], evaluated)
    assert "–" in to_markdown(table)

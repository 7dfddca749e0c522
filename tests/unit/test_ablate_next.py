"""Grids of the task ``next`` on tiny sequences: made once, on the same rows, told whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from reclora_cli.errors import UsageError
from reclora_cli.pipeline import ablate
from reclora_cli.pipeline.grid_variants import of_variants
from reclora_cli.stages import evaluate_next, finetune, kept_ablations, runs
from reclora_cli.stages.parameter_counts import parameter_counts
from reclora_cli.workspace import Workspace
from tests.finetuning import Listening
from tests.next_grids import ROWS, grid_of, sequences_and_recipe

__all__ = ["sequences_and_recipe"]

Walked = tuple[Any, ...]


@pytest.fixture(scope="module")
def walked(sequences_and_recipe: tuple[Workspace, str]) -> Walked:
    workspace, recipe = sequences_and_recipe
    made, heard = grid_of("ilora", recipe), Listening()
    [result] = ablate.run([made], workspace, heard, device="cpu").grids
    return workspace, made, result, heard


def test_every_kind_of_cell_is_told_on_the_same_rows(walked: Walked) -> None:
    *_, result, heard = walked
    kinds = {cell.label: cell.kind for cell in result.cells}
    assert kinds == {
        "SASRec": "crm",
        "popularity": "popularity",
        "zero-shot": "zero-shot",
        "LoRA": "run",
        "LLaRA": "run",
        "iLoRA": "run",
        "iLoRA, hybrid prompts": "run",
    }
    assert result.rows == ROWS
    for cell in result.cells:
        assert ("said_valid_ratio" in cell.figures) == (cell.kind in {"run", "zero-shot"})
        assert (cell.parameters is None) == (cell.kind != "run")
    assert [line.split("  ")[1] for line in heard.said if "/7  " in line] == [
        f"{at}/7" for at in range(1, 8)
    ]
    assert all("HR@1 0." in line for line in heard.said if "/7  " in line)


def test_figures_and_differences_are_those_that_evaluate_gives(walked: Walked) -> None:
    workspace, made, result, _ = walked
    cells = {cell.label: cell for cell in result.cells}
    names = [cells[label].models[0] for label in ("LoRA", "iLoRA")]
    again = evaluate_next.run(made.base, workspace, runs=names, encoder=False, device="cpu")
    assert [model.scored for model in again.models] == [0, 0]
    assert [model.figures for model in again.models] == [
        cells["LoRA"].figures,
        cells["iLoRA"].figures,
    ]
    [pair] = again.differences
    assert cells["iLoRA"].differences == pair.figures
    assert cells["iLoRA"].mcnemar == pair.mcnemar
    assert cells["LoRA"].differences == {}


def test_what_is_counted_is_what_was_trained(walked: Walked) -> None:
    workspace, _, result, _ = walked
    figures = {run.name: run.manifest.figures for run in runs.finished(workspace, "lastfm", "next")}
    for cell in result.cells:
        if cell.kind == "run":
            told = figures[cell.models[0]]
            assert cell.parameters.trained == told["trainable_parameters"], cell.label
            assert cell.parameters.gates == told["gate_parameters"], cell.label


def test_repeated_it_trains_and_scores_nothing(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, made, result, _ = walked
    monkeypatch.setattr(finetune, "run", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(
        "reclora_cli.stages.next_contestants._lm_ask", lambda *_: pytest.fail("scored again")
    )
    [again] = ablate.run([made], workspace, device="cpu").grids
    assert again.cells == result.cells
    assert again.table == result.table


def test_the_table_tells_rankings_words_parameters_and_published_figures(walked: Walked) -> None:
    *_, result, _ = walked
    table = result.table
    assert table.columns == [
        "model",
        "HR@1",
        "interval",
        "NDCG@5",
        "HR@1 said",
        "Valid Ratio",
        "over",
        "trains, M",
        "at 7B, M",
    ]
    by_label = {row[0]: row for row in table.rows}
    assert by_label["LoRA"][6] == "–"
    assert by_label["LoRA"][8] == "19.988"
    assert by_label["popularity"][4:6] == ["–", "–"]
    assert "LLaRA HR@1 said over valid answers 0.5246, ValidRatio 0.9754." in table.note


def test_it_is_kept_and_read_by_the_report(walked: Walked) -> None:
    workspace, _, result, _ = walked
    names = {Path(file).name for file in result.files}
    assert names == {"table.csv", "table.md", "table.tex", "figure.png", "figure.svg"}
    kept, unreadable = kept_ablations.read_all(workspace, "lastfm")
    assert unreadable == []
    [one] = [found for found in kept if found.title == result.title]
    assert one.rows == result.table.rows
    assert one.models["popularity"] == []
    assert json.loads(Path(result.artefact).read_text())["cells"][3]["label"] == "LoRA"


def test_a_dry_run_counts_parameters_and_knows_what_is_done(
    walked: Walked, sequences_and_recipe: tuple[Workspace, str]
) -> None:
    workspace, made, *_ = walked
    [planned] = ablate.run([made], workspace, device="cpu", dry_run=True).grids
    assert {run.state for run in planned.plan.runs} == {"done"}
    assert planned.plan.seconds == 0
    experts = grid_of("ilora-experts", sequences_and_recipe[1])
    [planned] = ablate.run([experts], workspace, device="cpu", dry_run=True).grids
    # K = 1 and K = 4 are runs of the other table.
    assert [run.state for run in planned.plan.runs] == ["done", "new", "done", "new"]
    assert [run.to_score for run in planned.plan.runs] == [0, ROWS, 0, ROWS]
    told = [run.parameters for run in planned.plan.runs]
    assert len({one.trained - one.gates for one in told}) == 1  # The total rank is 8 in all.


def test_seeds_are_told_as_mean_and_deviation(
    walked: Walked, sequences_and_recipe: tuple[Workspace, str], tmp_path: Path
) -> None:
    workspace = Workspace(shutil.copytree(walked[0].root, tmp_path / "ws"))
    two = grid_of("ilora", sequences_and_recipe[1], "SASRec", "iLoRA", seeds=2)
    [result] = ablate.run([two], workspace, device="cpu").grids
    for cell in result.cells:
        assert cell.seeds == [0, 1]
        assert len({*cell.models}) == 2
        assert cell.figures_over_seeds["hit_ratio@1"].sd is not None
    assert "HR@1, mean ± sd" in result.table.columns


def test_variants_of_a_recipe_of_the_task_are_ilora_s(
    sequences_and_recipe: tuple[Workspace, str],
) -> None:
    [found] = of_variants(["uniform-gate"], "tiny", recipe=sequences_and_recipe[1])
    assert [cell.label for cell in found.cells] == ["iLoRA", "uniform gate"]
    assert found.task == "next"
    with pytest.raises(UsageError, match="variant of the task rate") as caught:
        of_variants(["pre-mlp"], "tiny", recipe=sequences_and_recipe[1])
    assert "uniform-gate" in (caught.value.hint or "")


def test_a_table_refuses_a_recipe_of_the_other_task(
    sequences_and_recipe: tuple[Workspace, str],
) -> None:
    with pytest.raises(UsageError, match="of the task next, and ml-1m of the task rate"):
        grid_of("ilora", "ml-1m")
    with pytest.raises(UsageError, match="table-3 is of the task rate"):
        grid_of("table-3", sequences_and_recipe[1])


def test_parameters_at_the_papers_settings() -> None:
    """By hand: a LoRA of rank r on a layer of d to o has r (d + o) parameters; a gate
    64 x 60 + 60, a LayerNorm of 60, and 60 K + K."""
    from reclora_cli.recipe import load

    per_block = 4 * (4096 + 4096) + 3 * (4096 + 11_008)
    lora = parameter_counts(load("lastfm", method="lora", values={"lm.name": "smollm2-135m"}))
    assert lora.at_7b == 8 * 32 * per_block == 19_988_480
    assert lora.trained == 8 * 30 * (2 * 1152 + 2 * 768 + 3 * 2112) == 2_442_240
    ilora = parameter_counts(load("lastfm", method="ilora"))
    gate = 64 * 60 + 60 + 2 * 60 + 60 * 4 + 4
    assert ilora.gates == ilora.gates_at_7b == gate == 4264
    assert ilora.trained == lora.trained + gate
    assert ilora.at_7b == lora.at_7b + gate
    assert ilora.trained / lora.trained - 1 < 0.01
    assert ilora.at_7b / lora.at_7b - 1 < 0.01

"""Runs of a workspace: listed, shown, compared and removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest

from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.recipe import delta
from reclora_cli.recipe.delta import ChangedKey
from reclora_cli.scoring.kept_scores import METADATA, rows_hash
from reclora_cli.stages import compare_runs, list_runs, remove_runs, show_run
from reclora_cli.stages.evaluated import EvaluateResult
from reclora_cli.workspace import Workspace
from tests.evaluated_runs import GATED, PLAIN, ROWS, folder


@pytest.fixture
def workspace(evaluated: Workspace) -> Workspace:
    return evaluated


def line(workspace: Workspace, beginning: str) -> list_runs.RunLine:
    [found] = [one for one in list_runs.run(workspace).runs if one.name.startswith(beginning)]
    return found


def touched(workspace: Workspace, beginning: str) -> None:
    """As if the run had been tuned again: its manifest, and so its identity, is another."""
    file = folder(workspace, beginning) / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seconds": 1.25}))


# -- ls -----------------------------------------------------------------------------------------


def test_every_run_is_listed_finished_or_not(workspace: Workspace) -> None:
    listed = list_runs.run(workspace).runs
    assert {one.name for one in listed} == {
        path.name for path in workspace.root.glob("datasets/*/runs/*")
    }
    assert sum(one.state == "finished" for one in listed) == len(listed) - 1
    plain = line(workspace, PLAIN)
    assert (plain.method, plain.shots, plain.seed, plain.step) == ("lora-r2", 16, 0, 4)


def test_the_newest_run_is_listed_last(workspace: Workspace) -> None:
    os.utime(folder(workspace, GATED) / "manifest.json", (2e9, 2e9))
    assert list_runs.run(workspace).runs[-1].name.startswith(GATED)


def test_an_unfinished_run_tells_the_step_it_goes_on_from(workspace: Workspace) -> None:
    half = line(workspace, "lora-r2-32")
    assert (half.state, half.step, half.seconds, half.test) == ("unfinished", 4, None, None)


def test_a_run_has_the_auc_of_its_evaluation(
    workspace: Workspace, evaluation: EvaluateResult
) -> None:
    test = line(workspace, GATED).test
    assert test is not None
    assert (test.rows, test.subset, test.rows_hash) == (ROWS, True, evaluation.rows_hash)
    assert test.auc == evaluation.models[0].all.auc


def test_an_evaluation_of_a_run_before_it_was_tuned_again_is_not_its_own(
    workspace: Workspace,
) -> None:
    touched(workspace, GATED)
    assert line(workspace, GATED).test is None


def test_a_score_on_validation_rows_is_not_listed(workspace: Workspace) -> None:
    [file] = workspace.root.glob("datasets/*/evaluations/*.json")
    file.write_text(file.read_text().replace('"split": "test"', '"split": "valid"'))
    assert line(workspace, GATED).test is None


def test_damaged_runs_and_evaluations_do_not_hide_the_others(workspace: Workspace) -> None:
    (folder(workspace, PLAIN) / "manifest.json").write_text("{")
    [file] = workspace.root.glob("datasets/*/evaluations/*.json")
    file.with_name("test-0-0.json").write_text("[]")
    assert line(workspace, PLAIN).state == "unreadable"
    assert line(workspace, GATED).test is not None


def test_a_run_killed_before_its_recipe_was_written_is_listed(workspace: Workspace) -> None:
    (folder(workspace, "lora-r2-32") / "recipe.yaml").unlink()
    assert line(workspace, "lora-r2-32").method is None


def test_an_unknown_dataset_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="no dataset 'ml-2m'") as caught:
        list_runs.run(workspace, "ml-2m")
    assert caught.value.hint == "Did you mean ml-1m?"


# -- show ---------------------------------------------------------------------------------------


def test_the_recipe_is_told_as_what_differs_from_its_dataset_s(workspace: Workspace) -> None:
    shown = show_run.run(workspace, PLAIN)
    assert shown.base == "ml-1m"
    told = {one.key: (one.before, one.after) for one in shown.changed}
    assert told["adapter.kind"] == ("meta", "lora")
    assert told["finetune.shots"] == (1024, 16)
    assert "adapter.targets" not in told


@pytest.mark.parametrize(("change", "state"), [("rewrite", "changed"), ("remove", "missing")])
def test_an_input_that_is_no_more_what_lies_there_is_told(
    workspace: Workspace, change: str, state: str
) -> None:
    before = {one.name: one.state for one in show_run.run(workspace, GATED).inputs}
    assert before == {"store": "same", "index": "same", "crm": "same"}
    [manifest] = workspace.root.glob("datasets/*/crm/*/manifest.json")
    if change == "remove":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text() + "\n")
    after = {one.name: one.state for one in show_run.run(workspace, GATED).inputs}
    assert after == {"store": "same", "index": "same", "crm": state}


def test_files_scores_and_evaluations_are_told(
    workspace: Workspace, evaluation: EvaluateResult
) -> None:
    shown = show_run.run(workspace, GATED)
    sizes = {one.path: one.bytes for one in shown.files}
    assert sizes["recipe.yaml"] == (folder(workspace, GATED) / "recipe.yaml").stat().st_size
    [scores] = shown.scores
    assert (scores.split, scores.rows, scores.rows_hash) == ("test", ROWS, evaluation.rows_hash)
    [evaluated] = shown.evaluations
    assert evaluated.current
    assert [name[: len(PLAIN)] for name in evaluated.beside] == [PLAIN]
    assert shown.repeat == f"reclora finetune --from-run {folder(workspace, GATED).name}"


def test_where_there_is_no_run_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no run here"):
        show_run.run(Workspace(tmp_path), "x")


# -- compare ------------------------------------------------------------------------------------


def test_recipes_are_compared_key_by_key(workspace: Workspace) -> None:
    found = compare_runs.run(workspace, PLAIN, "reclora-k1-")
    assert found.recipe == [
        ChangedKey("adapter.kind", "lora", "meta"),
        ChangedKey("adapter.experts", 4, 1),
    ]
    assert found.surroundings == []


def test_the_first_recipe_s_lack_of_a_gate_is_told_too(workspace: Workspace) -> None:
    keys = {one.key for one in compare_runs.run(workspace, PLAIN, GATED).recipe}
    assert {"adapter.kind", "gate", "crm"} <= keys


def test_surroundings_that_differ_are_told(workspace: Workspace) -> None:
    file = folder(workspace, PLAIN) / "manifest.json"
    told = json.loads(file.read_text())
    told["versions"]["torch"] = "9.9"
    file.write_text(json.dumps(told))
    found = compare_runs.run(workspace, GATED, PLAIN).surroundings
    assert [(one.key, one.after) for one in found] == [("torch", "9.9")]


def auc_by_pairs(labels: np.ndarray, values: np.ndarray) -> float:
    likes, dislikes = values[labels == 1], values[labels == 0]
    wins = [(like > no) + (like == no) / 2 for like in likes for no in dislikes]
    return float(np.mean(wins))


def test_figures_on_the_same_rows_are_those_of_the_scores(
    workspace: Workspace, evaluation: EvaluateResult
) -> None:
    [same] = compare_runs.run(workspace, PLAIN, GATED).figures
    read = []
    for run in (PLAIN, GATED):
        [file] = (folder(workspace, run) / "scores").glob("*.parquet")
        read.append(pq.read_table(file).to_pandas())
    labels = read[0]["label"].to_numpy()
    values = [table["probability"].to_numpy() for table in read]
    losses = [-np.log(np.where(labels == 1, p, 1 - p)).mean() for p in values]
    assert (same.split, same.rows) == ("test", ROWS)
    assert [one.value for one in same.auc] == pytest.approx(
        [auc_by_pairs(labels, one) for one in values], abs=1e-12
    )
    assert [one.value for one in same.log_loss] == pytest.approx(losses, abs=1e-9)
    assert same.log_loss_difference.value == pytest.approx(losses[1] - losses[0], abs=1e-9)
    # As ``evaluate`` has it, the other way round.
    [pair] = evaluation.differences
    assert same.auc_difference is not None
    assert same.auc_difference.value == pytest.approx(-pair.auc.value, abs=1e-12)
    assert same.auc_difference.p == pytest.approx(pair.auc.p_delong, abs=1e-12)


def test_figures_of_different_rows_are_refused(workspace: Workspace) -> None:
    [file] = (folder(workspace, PLAIN) / "scores").glob("*.parquet")
    file.rename(file.with_name("test-0123456789abcdef.parquet"))
    found = compare_runs.run(workspace, GATED, PLAIN)
    assert found.figures == []
    assert found.not_compared == "both were scored, but never on the same rows"


def test_scores_of_a_run_before_it_was_tuned_again_are_refused(workspace: Workspace) -> None:
    touched(workspace, PLAIN)
    found = compare_runs.run(workspace, GATED, PLAIN)
    assert found.figures == []
    assert str(found.not_compared).startswith("no rows were scored yet by lora-r2-16-")


@pytest.mark.parametrize("damage", ["other rows", "cut", "doubled", "no number"])
def test_scores_that_are_not_what_was_written_are_an_error_even_in_both(
    damage: str, workspace: Workspace
) -> None:
    for run in (GATED, PLAIN):
        [file] = (folder(workspace, run) / "scores").glob("*.parquet")
        table = pq.read_table(file)
        columns = {name: np.asarray(table[name]).copy() for name in ("row_id", "probability")}
        if damage == "other rows":
            columns["row_id"] -= 1
        if damage == "doubled":
            columns["row_id"][1] = columns["row_id"][0]
        if damage == "no number":
            columns["probability"][3] = np.nan
        for name, values in columns.items():
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(name), pa.array(values))
        pq.write_table(table[:-2] if damage == "cut" else table, file)
    with pytest.raises(RecloraError, match="damaged score file") as caught:
        compare_runs.run(workspace, GATED, PLAIN)
    assert str(caught.value.where).endswith(".parquet")
    assert "Remove the file" in (caught.value.hint or "")


def test_figures_of_different_datasets_are_refused(workspace: Workspace) -> None:
    here = folder(workspace, PLAIN)
    elsewhere = workspace.dataset("ml-100k") / "runs" / "lora-r2-16-11111111"
    shutil.copytree(here, elsewhere)
    recipe = elsewhere / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("source: ml-1m", "source: ml-100k"))
    found = compare_runs.run(workspace, here.name, elsewhere.name)
    assert found.figures == []
    assert found.not_compared == "the runs are of different datasets: ml-1m and ml-100k"
    assert found.recipe == []


def test_an_unfinished_run_has_no_figures_to_compare(workspace: Workspace) -> None:
    found = compare_runs.run(workspace, PLAIN, "lora-r2-32")
    assert found.not_compared == "not finished: lora-r2-32-00000000"
    assert found.surroundings == []


def test_a_run_is_not_compared_with_itself(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="both are"):
        compare_runs.run(workspace, PLAIN, folder(workspace, PLAIN).name)


# -- rm -----------------------------------------------------------------------------------------


def agreeing(asked: list[str]) -> Callable[[str], bool]:
    def confirm(question: str) -> bool:
        asked.append(question)
        return True

    return confirm


def test_a_removed_run_is_gone_and_what_refers_to_it_is_named(workspace: Workspace) -> None:
    path = folder(workspace, GATED)
    exported = workspace.dataset("ml-1m") / "exports" / path.name
    exported.mkdir(parents=True)
    others = {one.name for one in list_runs.run(workspace).runs} - {path.name}
    asked: list[str] = []
    [gone] = remove_runs.run(workspace, [GATED], confirm=agreeing(asked)).removed
    assert asked == [f"Remove {path.name} (finished) for good?"]
    assert {one.name for one in list_runs.run(workspace).runs} == others
    assert not [left for left in path.parent.iterdir() if left.name.startswith(".")]
    assert gone.stays[0] == f"datasets/ml-1m/exports/{path.name}"
    assert [Path(one).parent.name for one in gone.stays[1:]] == ["evaluations"]
    assert all((workspace.root / one).exists() for one in gone.stays)


def test_unfinished_takes_the_interrupted_ones_alone(workspace: Workspace) -> None:
    (folder(workspace, PLAIN) / "manifest.json").write_text("{")  # Damaged, not interrupted.
    removed = remove_runs.run(workspace, unfinished=True, confirm=agreeing([])).removed
    assert [one.name for one in removed] == ["lora-r2-32-00000000"]
    assert remove_runs.run(workspace, unfinished=True, confirm=agreeing([])).removed == []


def test_a_person_who_says_no_keeps_the_run(workspace: Workspace) -> None:
    assert remove_runs.run(workspace, [PLAIN], confirm=lambda _: False).removed == []
    assert folder(workspace, PLAIN).is_dir()


def test_nothing_is_removed_where_nobody_can_agree(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="nobody is here to agree") as caught:
        remove_runs.run(workspace, [PLAIN])
    assert caught.value.hint == "Repeat the command with --yes."
    assert folder(workspace, PLAIN).is_dir()


@pytest.mark.parametrize(
    ("names", "unfinished", "what"),
    [
        ([], False, "no run is named"),
        ([PLAIN], True, "names and --unfinished"),
        (["lora"], False, "several runs begin with 'lora'"),
        (["lore-r2-16"], False, "no run is called 'lore-r2-16'"),
        (["../store"], False, "no run is called '../store'"),
    ],
)
def test_names_that_fit_no_run_or_several_are_refused(
    workspace: Workspace, names: list[str], unfinished: bool, what: str
) -> None:
    with pytest.raises(UsageError, match=what.replace(".", r"\.")):
        remove_runs.run(workspace, names, unfinished=unfinished, confirm=agreeing([]))


def test_a_workspace_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    nowhere = Workspace(tmp_path / "none")
    assert remove_runs.run(nowhere, unfinished=True, confirm=agreeing([])).removed == []
    assert not nowhere.root.exists()


def test_no_run_is_removed_while_another_process_writes(workspace: Workspace) -> None:
    holding = (
        "import sys, time; from pathlib import Path; from reclora_cli.workspace import Workspace\n"
        "with Workspace(Path(sys.argv[1])).writing():\n    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", holding, str(workspace.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(RecloraError, match="another reclora is writing here"):
                remove_runs.run(workspace, [PLAIN], confirm=agreeing([]))
        finally:
            holder.kill()
    assert folder(workspace, PLAIN).is_dir()


def test_a_removal_killed_half_way_leaves_no_run_and_is_finished_later(
    workspace: Workspace,
) -> None:
    path = folder(workspace, PLAIN)
    dying = (
        "import os, shutil, signal, sys; from pathlib import Path\n"
        "from reclora_cli.stages import remove_runs\n"
        "from reclora_cli.workspace import Workspace\n"
        "def half(folder, ignore_errors=False):\n"
        "    if Path(folder).is_dir():\n"
        "        (Path(folder) / 'recipe.yaml').unlink()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "shutil.rmtree = half\n"
        "remove_runs.run(Workspace(Path(sys.argv[1])), [sys.argv[2]], confirm=lambda _: True)\n"
    )
    command = [sys.executable, "-c", dying, str(workspace.root), path.name]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not path.exists()
    [left] = [one for one in path.parent.iterdir() if one.name.startswith(".")]
    assert (left / "manifest.json").is_file()
    assert path.name not in {one.name for one in list_runs.run(workspace).runs}
    remove_runs.run(workspace, [GATED], confirm=agreeing([]))
    assert not left.exists()


# -- edges --------------------------------------------------------------------------------------


def test_keys_of_one_recipe_alone_are_told_with_none() -> None:
    found = delta.changed_keys({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5, "c": 2}, "e": 4})
    assert found == [ChangedKey("a.b", 1, 5), ChangedKey("d", 3, None), ChangedKey("e", None, 4)]


def test_rows_of_likes_only_have_no_auc(workspace: Workspace) -> None:
    for run in (PLAIN, GATED):
        [file] = (folder(workspace, run) / "scores").glob("*.parquet")
        table = pq.read_table(file)
        liked = table.filter(pa.compute.equal(table["label"], 1))
        told = json.loads(table.schema.metadata[METADATA])
        told["rows_hash"] = rows_hash(np.asarray(liked["row_id"]))
        place = file.with_name(f"test-{told['rows_hash']}.parquet")
        pq.write_table(liked.replace_schema_metadata({METADATA: json.dumps(told)}), place)
        file.unlink()
    [same] = compare_runs.run(workspace, PLAIN, GATED).figures
    assert [one.value for one in same.auc] == [None, None]
    assert same.auc_difference is None
    assert 0 < same.rows < ROWS
    assert same.log_loss[0].value is not None

"""finetune --tune on the tiny world: real small tunings, killed, pruned and failing ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.pipeline import graph
from reclora_cli.recipe import Recipe, delta, load, to_yaml
from reclora_cli.stages import classroom, evaluate, finetune, lm_validation, locate, runs, tune_lm
from reclora_cli.training import lm_work as lm_work_module
from reclora_cli.workspace import Workspace
from tests.world import TinyWorld

DIVERGES = 2.5e37
"""A learning rate near float32's end: under smaller ones RMSNorm keeps every loss finite."""

SMALL = {"finetune.learning_rate": [1e-3, 1e-2], "gate.temperature": [1.0, 5.0]}


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def ready(
    tiny_world: TinyWorld, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyWorld:
    """The tiny world with index and CRM, which are made once. Read it only."""
    root = tmp_path_factory.mktemp("ready") / "ws"
    shutil.copytree(tiny_world.workspace.root, root)
    recipe = delta.changed(
        tiny_world.recipe,
        {"lm.name": str(tiny_lm), "tune.rows": 30, "tune.grid": SMALL, "finetune.epochs": 2},
    )
    workspace = Workspace(root)
    graph.ensure("tune-lm", recipe, workspace, device="cpu")
    return TinyWorld(tiny_world.raw, recipe, workspace)


@pytest.fixture
def world(ready: TinyWorld, tmp_path: Path) -> TinyWorld:
    root = shutil.copytree(ready.workspace.root, tmp_path / "ws")
    return TinyWorld(ready.raw, ready.recipe, Workspace(root))


def searched(recipe: Recipe, world: TinyWorld, **options: Any) -> tune_lm.TunedLm:
    return tune_lm.run(recipe, world.workspace, device="cpu", **options)


def timeless(result: tune_lm.TunedLm) -> list[dict[str, Any]]:
    return [asdict(replace(trial, seconds=0.0)) for trial in result.trials]


def adapter_of(folder: str | Path) -> dict[str, torch.Tensor]:
    [file] = (Path(folder) / "adapter").glob("*.safetensors")
    return load_file(file)


def test_the_best_trial_is_kept_as_the_ordinary_run_of_its_recipe(world: TinyWorld) -> None:
    result = searched(world.recipe, world, trials=3)

    complete = [trial for trial in result.trials if trial.state == "complete"]
    assert result.best is not None
    assert result.best.auc == max(trial.auc or 0 for trial in complete)
    chosen = delta.changed(world.recipe, result.best.settings)
    assert result.artefact == str(locate.run(chosen, world.workspace).path)
    assert [run.name for run in runs.finished(world.workspace, "ml-1m")] == [result.run]
    assert finetune.run(chosen, world.workspace, device="cpu").up_to_date

    found = adapter_of(result.artefact)
    alone = finetune.run(chosen, world.workspace, device="cpu", force=True)
    assert all(
        torch.equal(found[name], tensor) for name, tensor in adapter_of(alone.artefact).items()
    )


def test_the_figure_that_decides_is_that_of_evaluate_on_the_same_rows(world: TinyWorld) -> None:
    result = searched(world.recipe, world, trials=2)

    assert result.best is not None
    assert result.artefact is not None
    chosen = delta.changed(
        world.recipe,
        {**result.best.settings, "evaluate.split": "valid", "evaluate.rows": result.rows},
    )
    found = evaluate.run(chosen, world.workspace, runs=[str(result.run)], crm=False, device="cpu")
    assert found.rows_hash == result.rows_hash
    assert found.models[0].all.auc.value == pytest.approx(result.best.auc, abs=1e-6)


def test_the_last_pass_counts_although_another_was_better(world: TinyWorld) -> None:
    result = searched(world.recipe, world, trials=4)

    for trial in result.trials:
        if trial.state == "complete":
            settings = delta.changed(world.recipe, trial.settings)
            assert trial.best_step == settings.finetune.epochs * 4


def test_every_combination_is_tried_once_the_recipes_own_first(world: TinyWorld) -> None:
    result = searched(world.recipe, world, trials=9)

    assert result.trials[0].settings == {"finetune.learning_rate": 1e-3, "gate.temperature": 1.0}
    tried = [json.dumps(trial.settings) for trial in result.trials]
    assert len(tried) == len(set(tried)) == result.combinations == 4
    assert (result.grid_source, result.rows, result.valid_rows) == (
        "the recipe's grid",
        30,
        len(world.store.split("valid")),
    )


def test_the_written_recipe_and_the_set_lines_are_the_chosen_settings(
    world: TinyWorld, tmp_path: Path
) -> None:
    result = searched(world.recipe, world, trials=2)

    assert result.best is not None
    assert result.recipe_file is not None
    assert Path(result.recipe_file).name == "tuned-reclora-k4.yaml"
    assert "a subset of 30 validation rows" in Path(result.recipe_file).read_text()
    chosen = load(result.recipe_file)
    assert chosen == delta.changed(world.recipe, result.best.settings)
    mine = tmp_path / "mine.yaml"
    mine.write_text(to_yaml(world.recipe))
    assert load(mine, overrides=result.overrides) == chosen


def test_the_same_command_is_up_to_date_and_more_trials_go_on(world: TinyWorld) -> None:
    first = searched(world.recipe, world, trials=2)
    again = searched(world.recipe, world, trials=2)
    more = searched(world.recipe, world, trials=3)

    assert (first.up_to_date, again.up_to_date, more.up_to_date) == (False, True, False)
    assert again.trials == first.trials
    assert more.trials[:2] == first.trials


@pytest.mark.parametrize("kill_at", [3, 8, 13])
def test_a_killed_search_goes_on_to_the_same_trials(
    kill_at: int, world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = searched(world.recipe, world, trials=3)
    loss, taken = lm_work_module.answer_loss, [0]

    def dying(*arguments: Any) -> torch.Tensor:
        taken[0] += 1
        if taken[0] > kill_at:
            raise Killed
        return loss(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(lm_work_module, "answer_loss", dying)
        with pytest.raises(Killed):
            searched(world.recipe, world, trials=3, force=True)
    [folder] = (world.workspace.dataset("ml-1m") / "tune").iterdir()
    with (folder / "study.journal").open("a") as journal:
        journal.write('{"op_code":')  # as a kill in the middle of a write leaves it
    again = searched(world.recipe, world, trials=3)

    assert timeless(again) == timeless(whole)
    assert again.best is not None
    assert whole.best is not None
    assert again.best.settings == whole.best.settings
    assert not (folder / "trials").exists()


def test_one_killed_behind_its_last_pass_is_judged_all_the_same(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = searched(world.recipe, world, trials=1)
    assert whole.artefact is not None
    shutil.rmtree(whole.artefact)
    from reclora_cli.lora.adapters import MetaAdapter

    def dying(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MetaAdapter, "save", dying)
        with pytest.raises(Killed):
            searched(world.recipe, world, trials=1, force=True)
    again = searched(world.recipe, world, trials=1)
    assert timeless(again) == timeless(whole)


def test_the_lm_and_its_prompts_are_read_once_for_all_trials(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    real = classroom.load_speaker

    def counting(recipe: Any, *arguments: Any) -> Any:
        loaded.append(recipe.name)
        return real(recipe, *arguments)

    monkeypatch.setattr(classroom, "load_speaker", counting)
    searched(world.recipe, world, trials=3)
    assert len(loaded) == 1


def test_a_trial_that_is_worse_than_the_median_is_pruned(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = delta.changed(
        world.recipe,
        {"tune.grid": {"finetune.learning_rate": [0.1, 0.2, 0.3, 0.4, 0.5]}, "finetune.epochs": 3},
    )
    worse = iter(range(1000))

    def falling(self: Any) -> dict[str, dict[str, Any]]:
        auc = 0.9 - 0.01 * next(worse)
        return {whose: {"n": 30, "auc": auc, "log_loss": 0.6} for whose in lm_validation.WHOSE}

    monkeypatch.setattr(lm_validation.LmValidation, "measure", falling)
    result = searched(recipe, world, trials=5)

    states = [trial.state for trial in result.trials]
    assert states[:3] == ["complete"] * 3, "nothing prunes the first three"
    assert "pruned" in states
    left = {path.name for path in (world.workspace.dataset("ml-1m") / "runs").iterdir()}
    assert left == {result.run}


def test_a_trial_that_fails_is_named_and_the_others_go_on(world: TinyWorld) -> None:
    grid = {"tune.grid": {"finetune.learning_rate": [1e-3, DIVERGES]}}
    result = searched(delta.changed(world.recipe, grid), world, trials=2)

    assert [trial.state for trial in result.trials] == ["complete", "failed"]
    assert "diverged" in (result.trials[1].error or "")


def test_a_search_in_which_everything_fails_is_an_error(world: TinyWorld) -> None:
    grid = {"tune.grid": {"finetune.learning_rate": [DIVERGES, 1.1 * DIVERGES]}}
    with pytest.raises(RecloraError, match=r"no trial of reclora-k4 .* to its end: .*diverged"):
        searched(delta.changed(world.recipe, grid), world, trials=2)


def test_no_trial_starts_after_the_budget(world: TinyWorld) -> None:
    assert len(searched(world.recipe, world, budget_minutes=1e-6).trials) == 1
    assert searched(world.recipe, world, budget_minutes=1e-6).up_to_date


def test_test_rows_are_not_scored(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = classroom.Questions.of_rows

    def spying(store: Any, rows: Any) -> Any:
        read.extend(int(row) for row in rows)
        return real(store, rows)

    monkeypatch.setattr(classroom.Questions, "of_rows", spying)
    searched(delta.changed(world.recipe, {"tune.decides": "as-test"}), world, trials=1)
    assert max(read) < world.store.split("test").start
    assert sum(row >= world.store.split("valid").start for row in read) == 30


def test_a_gate_learns_at_the_searched_rate_unless_it_has_its_own(world: TinyWorld) -> None:
    recipe = delta.changed(world.recipe, {"finetune.learning_rate": 0.0123})
    kept: list[list[float]] = []
    real = lm_work_module.Work

    def spying(**given: Any) -> Any:
        kept.append([group.learning_rate for group in given["groups"]])
        return real(**given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lm_work_module, "Work", spying)
        finetune.run(recipe, world.workspace, device="cpu")
        own = delta.changed(recipe, {"finetune.gate_learning_rate": 0.5})
        finetune.run(own, world.workspace, device="cpu")
    assert kept == [[0.0123, 0.0123], [0.0123, 0.5]]


def test_a_dry_run_tells_what_it_takes_and_writes_nothing(world: TinyWorld) -> None:
    before = sorted(world.workspace.root.rglob("*"))
    result = searched(world.recipe, world, trials=3, dry_run=True)

    assert result.plan is not None
    assert (result.plan.trials, result.combinations) == (3, 4)
    assert result.plan.seconds == pytest.approx(3 * result.plan.seconds_per_trial, abs=0.35)
    assert sorted(world.workspace.root.rglob("*")) == before


def test_zero_shot_and_an_empty_grid_leave_nothing_to_tune(world: TinyWorld) -> None:
    with pytest.raises(UsageError, match="tunes nothing"):
        searched(delta.changed(world.recipe, {"adapter.kind": "none"}), world)
    with pytest.raises(UsageError, match="fixes everything"):
        searched(world.recipe, world, held=["finetune", "gate.temperature"])
    with pytest.raises(UsageError, match=r"no value to try for gate\.temperature"):
        searched(delta.changed(world.recipe, {"tune.grid": {"gate.temperature": []}}), world)


def test_without_a_crm_it_is_missing(tiny_copy: TinyWorld, ready: TinyWorld) -> None:
    with pytest.raises(MissingInputError, match="no index here"):
        searched(ready.recipe, tiny_copy, trials=1)


def test_rows_without_likes_or_dislikes_cannot_decide(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = delta.changed(world.recipe, {"tune.rows": 1})
    with pytest.raises(RecloraError, match="lack likes or dislikes"):
        searched(recipe, world, trials=1)

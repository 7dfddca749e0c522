"""pretrain-crm --tune on the tiny world: real small trainings, killed, pruned and failing ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.recipe import Recipe, delta, grids, load, to_yaml
from reclora_cli.scoring.crm_scorer import CrmScorer
from reclora_cli.stages import crm_training, locate, pretrain_crm, tune_crm, tune_study
from reclora_cli.stages.crm_validation import as_in_test, unseen_share_of_test
from reclora_cli.stages.tune_study import TuningStudy
from tests.unit.test_pretrain_crm import KilledError, _stop_at, changed
from tests.world import TinyWorld

SMALL: grids.Grid = {"crm.embedding": (4, 8), "crm.learning_rate": (0.03, 0.003)}


@pytest.fixture
def din(tiny_copy: TinyWorld) -> Recipe:
    return changed(tiny_copy.recipe, learning_rate=0.003)


@pytest.fixture
def small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four combinations, all quickly trained."""
    monkeypatch.setattr(grids, "EVERY_MODEL", SMALL)
    monkeypatch.setattr(grids, "MODELS", {"din": {}})


def tuned(recipe: Recipe, world: TinyWorld, **options: Any) -> tune_crm.TunedCrm:
    return tune_crm.run(recipe, world.workspace, device="cpu", **options)


def timeless(result: tune_crm.TunedCrm) -> list[dict[str, Any]]:
    return [asdict(replace(trial, seconds=0.0)) for trial in result.trials]


@pytest.mark.usefixtures("small_grid")
def test_the_best_trial_is_kept_as_an_ordinary_crm(tiny_copy: TinyWorld, din: Recipe) -> None:
    result = tuned(din, tiny_copy, trials=3)

    assert result.best is not None
    complete = [trial for trial in result.trials if trial.state == "complete"]
    assert result.best.auc == max(trial.auc or 0 for trial in complete)
    chosen = delta.changed(din, result.best.settings)
    assert result.artefact == str(locate.crm(chosen, tiny_copy.workspace).path)
    again = pretrain_crm.run(chosen, tiny_copy.workspace, device="cpu")
    assert again.up_to_date
    assert again.validation is not None
    assert again.validation["all"]["auc"] == result.best.auc
    alone = pretrain_crm.run(chosen, tiny_copy.workspace, device="cpu", force=True)
    assert alone.validation == again.validation
    left = [path.name for path in (tiny_copy.workspace.dataset("ml-1m") / "crm").iterdir()]
    assert left == [Path(result.artefact).name]


@pytest.mark.usefixtures("small_grid")
def test_the_recipes_own_settings_are_tried_first_and_none_twice(
    tiny_copy: TinyWorld, din: Recipe
) -> None:
    result = tuned(din, tiny_copy, trials=9)

    tried = [json.dumps(trial.settings) for trial in result.trials]
    assert result.trials[0].settings == {"crm.embedding": 8, "crm.learning_rate": 0.003}
    assert len(tried) == len(set(tried)) == grids.combinations(SMALL) == result.combinations


@pytest.mark.usefixtures("small_grid")
def test_the_written_recipe_is_the_chosen_one(
    tiny_copy: TinyWorld, din: Recipe, tmp_path: Path
) -> None:
    result = tuned(din, tiny_copy, trials=2)

    assert result.best is not None
    assert result.recipe_file is not None
    assert Path(result.recipe_file).name == "tuned-din.yaml"
    assert "extends: ml-1m" in Path(result.recipe_file).read_text()
    chosen = load(result.recipe_file)
    assert chosen == delta.changed(din, result.best.settings)
    mine = tmp_path / "mine.yaml"
    mine.write_text(to_yaml(din))
    assert load(mine, overrides=result.overrides) == chosen


@pytest.mark.usefixtures("small_grid")
def test_the_same_command_is_up_to_date_and_more_trials_go_on(
    tiny_copy: TinyWorld, din: Recipe
) -> None:
    first = tuned(din, tiny_copy, trials=2)
    again = tuned(din, tiny_copy, trials=2)
    more = tuned(din, tiny_copy, trials=3)

    assert (first.up_to_date, again.up_to_date, more.up_to_date) == (False, True, False)
    assert again.trials == first.trials
    assert more.trials[:2] == first.trials
    assert len(more.trials) == 3


@pytest.mark.usefixtures("small_grid")
def test_force_forgets_earlier_trials(tiny_copy: TinyWorld, din: Recipe) -> None:
    first = tuned(din, tiny_copy, trials=3)
    again = tuned(din, tiny_copy, trials=1, force=True)

    assert timeless(again) == timeless(first)[:1]
    assert not again.up_to_date


@pytest.mark.usefixtures("small_grid")
@pytest.mark.parametrize("kill_at", [3, 9, 22])
def test_a_killed_search_goes_on_to_the_same_trials(
    kill_at: int,
    tiny_copy: TinyWorld,
    din: Recipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crm_training, "_CHECKPOINT_EVERY", 2)
    whole = tuned(din, tiny_copy, trials=4)
    with monkeypatch.context() as patch:
        _stop_at(patch, kill_at)
        with pytest.raises(KilledError):
            tuned(din, tiny_copy, trials=4, force=True)
    [folder] = (tiny_copy.workspace.dataset("ml-1m") / "tune").iterdir()
    assert (folder / "study.journal").is_file()
    assert list(folder.glob("trials/*/checkpoints/step-*"))
    (folder / "study.journal.lock").symlink_to("study.journal")
    with (folder / "study.journal").open("a") as journal:
        journal.write('{"op_code":')  # as a kill in the middle of a write leaves it
    again = tuned(din, tiny_copy, trials=4)

    assert timeless(again) == timeless(whole)
    assert again.best is not None
    assert whole.best is not None
    assert again.best.settings == whole.best.settings
    assert not (folder / "trials").exists()


@pytest.mark.usefixtures("small_grid")
def test_a_killed_trial_goes_on_from_its_checkpoint(
    tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crm_training, "_CHECKPOINT_EVERY", 2)
    from reclora_cli.training import crm_work

    with monkeypatch.context() as patch:
        _stop_at(patch, 7)
        with pytest.raises(KilledError):
            tuned(din, tiny_copy, trials=1)
    taken: list[int] = []
    loss = crm_work.crm_loss

    def counting(*arguments: Any) -> Any:
        taken.append(1)
        return loss(*arguments)

    monkeypatch.setattr(crm_work, "crm_loss", counting)
    result = tuned(din, tiny_copy, trials=1)

    crm = pretrain_crm.told_again(locate.crm(load(str(result.recipe_file)), tiny_copy.workspace))
    assert len(taken) == crm.steps - 6


@pytest.mark.usefixtures("small_grid")
def test_a_trial_killed_behind_its_last_pass_is_judged_all_the_same(
    tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tuned(din, tiny_copy, trials=1)
    assert whole.artefact is not None
    shutil.rmtree(whole.artefact)

    def dying(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(crm_training, "write_json", dying)
        with pytest.raises(KilledError):
            tuned(din, tiny_copy, trials=1, force=True)
    assert timeless(tuned(din, tiny_copy, trials=1)) == timeless(whole)


@pytest.mark.usefixtures("small_grid")
def test_a_trial_that_is_worse_than_the_median_is_pruned(
    tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {"crm.learning_rate": (0.02, 0.01, 0.015, 1e-7, 1e-8)}
    monkeypatch.setattr(grids, "EVERY_MODEL", grid)
    recipe = changed(din, learning_rate=0.02, epochs=4, evaluations_per_epoch=1, patience=4)
    result = tuned(recipe, tiny_copy, trials=5)

    states = {trial.settings["crm.learning_rate"]: trial.state for trial in result.trials}
    assert "pruned" in states.values()
    assert all(states[rate] == "complete" for rate in grid["crm.learning_rate"][:1]), (
        "the recipe's own are the first, and nothing prunes the first three"
    )
    [pruned, *_] = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned.auc is not None
    assert result.best is not None
    assert result.best.auc is not None
    assert pruned.auc < result.best.auc


@pytest.mark.usefixtures("small_grid")
def test_a_trial_that_fails_is_named_and_the_others_go_on(
    tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grids, "EVERY_MODEL", {"crm.learning_rate": (0.003, 1e30)})
    result = tuned(din, tiny_copy, trials=2)

    assert [trial.state for trial in result.trials] == ["complete", "failed"]
    assert "diverged" in (result.trials[1].error or "")
    again = tuned(din, tiny_copy, trials=2)
    assert again.up_to_date
    assert again.trials == result.trials


@pytest.mark.usefixtures("small_grid")
def test_a_search_in_which_everything_fails_is_an_error(
    tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grids, "EVERY_MODEL", {"crm.learning_rate": (1e30, 1e31)})

    with pytest.raises(RecloraError, match=r"no trial of din .* to its end: .*diverged"):
        tuned(din, tiny_copy, trials=2)


@pytest.mark.usefixtures("small_grid")
def test_memory_that_runs_out_fails_one_trial(
    tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = crm_training.fit

    def short_of_memory(work: Any, **options: Any) -> Any:
        if work.groups[0].learning_rate == 0.03:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real(work, **options)

    monkeypatch.setattr(crm_training, "fit", short_of_memory)
    result = tuned(din, tiny_copy, trials=4)

    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert {trial.settings["crm.learning_rate"] for trial in failed} == {0.03}
    assert all("can't allocate memory" in (trial.error or "") for trial in failed)


@pytest.mark.usefixtures("small_grid")
def test_no_trial_starts_after_the_budget(tiny_copy: TinyWorld, din: Recipe) -> None:
    result = tuned(din, tiny_copy, budget_minutes=1e-6)
    again = tuned(din, tiny_copy, budget_minutes=1e-6)

    assert len(result.trials) == 1
    assert again.up_to_date


@pytest.mark.usefixtures("small_grid")
def test_what_decides_is_the_recipes_choice(tiny_copy: TinyWorld, din: Recipe) -> None:
    result = tuned(changed(din, stop_on="as-test"), tiny_copy, trials=2)

    assert result.decides == "as-test"
    for trial in result.trials:
        assert trial.validation is not None
        found, share = trial.validation, result.unseen_share_of_test
        by_hand = (1 - share) * found["seen"]["auc"] + share * found["unseen"]["auc"]
        assert trial.auc == found["as-test"]["auc"] == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.usefixtures("small_grid")
def test_test_rows_are_not_scored(
    tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_test_row = tiny_copy.store.split("test").start
    read: list[int] = []
    of_rows = CrmScorer.behaviours

    def spy(self: CrmScorer, rows: np.ndarray) -> np.ndarray:
        read.append(int(np.max(rows)))
        return of_rows(self, rows)

    monkeypatch.setattr(CrmScorer, "behaviours", spy)
    tuned(changed(din, stop_on="as-test"), tiny_copy, trials=2)

    assert max(read) == first_test_row - 1


def test_a_dry_run_tells_the_paper_grid_and_writes_nothing(
    tiny_copy: TinyWorld, din: Recipe
) -> None:
    before = sorted(tiny_copy.workspace.root.rglob("*"))
    held = [key for key in grids.grid_of("din") if key != "crm.embedding"]
    result = tuned(din, tiny_copy, trials=7, dry_run=True, held=held[1:])

    assert result.combinations == 2 * 3
    assert result.plan is not None
    assert result.plan.trials == 6
    # Both are told to a tenth of a second.
    assert result.plan.seconds == pytest.approx(6 * result.plan.seconds_per_trial, abs=0.35)
    assert sorted(tiny_copy.workspace.root.rglob("*")) == before


def test_what_set_fixes_keeps_its_value(tiny_copy: TinyWorld, din: Recipe) -> None:
    held = [key for key in grids.grid_of("din") if key != "crm.embedding"]
    result = tuned(din, tiny_copy, trials=2, held=held)

    assert [set(trial.settings) for trial in result.trials] == [{"crm.embedding"}] * 2
    assert load(str(result.recipe_file)).crm.learning_rate == din.crm.learning_rate


def test_everything_held_leaves_nothing_to_tune(tiny_copy: TinyWorld, din: Recipe) -> None:
    with pytest.raises(UsageError, match="fixes everything"):
        tuned(din, tiny_copy, trials=2, held=["crm"])


def test_a_proposal_depends_on_the_seed_and_on_what_was_found(tmp_path: Path) -> None:
    grid = grids.grid_of("sim")
    own = {key: values[0] for key, values in grid.items()}

    def proposed(seed: int, folder: str, restarts: bool) -> list[dict[str, Any]]:
        study = TuningStudy(tmp_path / folder, grid, own, "all", seed)
        found = []
        for number in range(12):
            if restarts:
                study = TuningStudy(tmp_path / folder, grid, own, "all", seed)
            asked = study.ask()
            assert asked is not None
            auc = 0.5 + asked.settings["crm.embedding"] / 1000 + number / 10_000
            ended = "complete"
            try:
                asked.after_pass([{"step": 1, "all": {"n": 9, "auc": auc, "log_loss": 0.6}}])
            except optuna.TrialPruned:
                ended = "pruned"
            study.tell(asked, ended, seconds=1.0)
            found.append(asked.settings)
        return found

    whole = proposed(0, "whole", restarts=False)
    assert proposed(0, "broken", restarts=True) == whole
    assert proposed(1, "other", restarts=False)[1:] != whole[1:]


def test_the_weights_of_seen_and_unseen_users_are_the_shares_of_test(
    tiny_world: TinyWorld,
) -> None:
    store = tiny_world.store
    trained = set(store.row_user(np.asarray(store.split("train"))).tolist())
    users = store.row_user(np.asarray(store.split("test"))).tolist()
    by_hand = sum(user not in trained for user in users) / len(users)
    found = {
        "all": {"n": 10, "auc": 0.9, "log_loss": 0.1},
        "seen": {"n": 6, "auc": 0.8, "log_loss": 0.5},
        "unseen": {"n": 4, "auc": 0.6, "log_loss": 0.7},
    }

    assert unseen_share_of_test(store) == pytest.approx(by_hand)
    assert as_in_test(found, 0.25) == pytest.approx({"n": 10, "auc": 0.75, "log_loss": 0.55})
    nobody = found | {"unseen": {"n": 0, "auc": None, "log_loss": None}}
    assert as_in_test(nobody, 0.25)["auc"] is None
    assert as_in_test(nobody, 0.0)["auc"] == 0.8


def test_a_journal_cut_in_the_middle_of_a_line_is_mended(tmp_path: Path) -> None:
    whole = b'{"op_code":0}\n'
    (tmp_path / "study.journal").write_bytes(whole + b'{"op_co')

    assert tune_study._mended(tmp_path / "study.journal").read_bytes() == whole

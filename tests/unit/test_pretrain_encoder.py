"""pretrain-crm, for the task next: trained once, resumed, stopped, and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from reclora_cli.crm.sequence.storage import load_encoder
from reclora_cli.crm.storage import WEIGHTS
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.recipe import Recipe
from reclora_cli.stages import by_task, encoder_training, locate, pretrain_encoder
from reclora_cli.workspace import Workspace
from tests.sequences_world import prepared, small_recipe

World = tuple[Recipe, Workspace]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Tiny sequences and SASRec on them. Read it only; ``fresh`` is for writing."""
    world = prepared(tmp_path_factory.mktemp("trained"))
    by_task.pretrain_crm(*world)
    return world


@pytest.fixture
def fresh(trained: World, tmp_path: Path) -> World:
    """The same sequences, nothing trained."""
    recipe, workspace = trained
    root = shutil.copytree(workspace.root, tmp_path / "workspace")
    shutil.rmtree(root / "datasets" / "lastfm" / "encoders")
    return recipe, Workspace(root)


def weights(world: World) -> bytes:
    return (locate.crm(*world).path / WEIGHTS).read_bytes()


def test_reports_the_kept_weights_on_validation_candidates(trained: World) -> None:
    result = by_task.pretrain_crm(*trained)
    assert result.up_to_date
    assert result.rows == 240
    found = result.validation
    assert found["n"] == 12
    assert found["chance"] == 0.05
    passes = json.loads((locate.crm(*trained).path / "metrics.json").read_text())
    best = max(passes, key=lambda each: each["ndcg@5"])
    assert best["step"] == result.best_step
    assert found["figures"] == {name: best[name] for name in found["figures"]}


def test_learns_what_comes_next(fresh: World) -> None:
    values = {"crm.epochs": 30, "crm.patience": 30, "crm.learning_rate": 0.01}
    result = by_task.pretrain_crm(small_recipe(**values), fresh[1])
    assert result.validation["figures"]["hit_ratio@1"] > 0.5


def test_the_same_seed_gives_the_same_bits_and_another_others(trained, fresh: World) -> None:
    by_task.pretrain_crm(*fresh)
    assert weights(fresh) == weights(trained)
    other = (small_recipe(seed=1), fresh[1])
    by_task.pretrain_crm(*other)
    assert weights(other) != weights(trained)


def test_a_training_that_was_killed_ends_in_the_same_bits(
    trained, fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_training, "_CHECKPOINT_EVERY", 5)
    whole = encoder_training.NextValidation.__call__

    def killed(self, step, memory):
        if step == 13:
            raise KeyboardInterrupt
        return whole(self, step, memory)

    with monkeypatch.context() as patch:
        patch.setattr(encoder_training.NextValidation, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            by_task.pretrain_crm(*fresh)
    assert locate.crm(*fresh).manifest() is None
    by_task.pretrain_crm(*fresh)
    assert weights(fresh) == weights(trained)


def test_stops_when_patience_runs_out_and_keeps_the_best(fresh: World) -> None:
    recipe = small_recipe(**{"crm.learning_rate": 1e-9, "crm.epochs": 9, "crm.patience": 2})
    result = by_task.pretrain_crm(recipe, fresh[1])
    assert result.stopped_early
    assert result.best_step == 8
    assert result.steps == 24


def test_a_dry_run_plans_and_writes_nothing(fresh: World) -> None:
    result = by_task.pretrain_crm(*fresh, dry_run=True)
    assert result.steps == 24
    assert result.parameters > 0
    assert result.validation is None
    assert not locate.crm(*fresh).path.exists()


def test_the_test_split_is_ranked_when_it_is_asked_for(trained: World) -> None:
    found = pretrain_encoder.rank_candidates(*trained, "test")
    assert found.n == 12
    assert 0 <= (found.figures["mrr"] or -1) <= 1


def test_an_encoder_of_other_sequences_is_refused(fresh: World) -> None:
    by_task.pretrain_crm(*fresh)
    file = locate.crm(*fresh).path / "encoder_config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "sequences": "others"}))
    with pytest.raises(RecloraError, match="trained on other sequences"):
        pretrain_encoder.rank_candidates(*fresh, "test")
    file.write_text("{}")
    with pytest.raises(RecloraError, match="damaged"):
        load_encoder(file.parent)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"crm.model": "sim"}, "sim is no sequence encoder"),
        ({"crm.shots": 5}, "trained on all training sequences"),
        ({"crm.sasrec.width": 16}, "attention is 16 wide and embeddings 8"),
    ],
)
def test_what_cannot_be_trained_is_told(fresh: World, values: dict, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        by_task.pretrain_crm(small_recipe(**values), fresh[1])


def test_sequences_that_are_missing_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no prepared sequences here") as told:
        by_task.pretrain_crm(small_recipe(), Workspace(tmp_path))
    assert "reclora prepare lastfm" in str(told.value)

"""pretrain-crm on the tiny world: what it keeps, when it stops, how it goes on after a kill."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli import catalog
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.metrics.auc import auc
from reclora_cli.recipe import Recipe, from_tree
from reclora_cli.scoring.crm_scorer import CrmScorer, cached_representations
from reclora_cli.stages import crm_training, locate, pretrain_crm
from tests.world import TinyWorld


class KilledError(Exception):
    """Stands for a kill: nothing after it runs."""


def changed(recipe: Recipe, **values: Any) -> Recipe:
    tree = recipe.model_dump(mode="json")
    tree["crm"] |= {"model": "din", **values}
    return from_tree(tree)


@pytest.fixture
def din(tiny_copy: TinyWorld) -> Recipe:
    return changed(tiny_copy.recipe)


@pytest.fixture
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crm_training, "_CHECKPOINT_EVERY", 2)


def weights(recipe: Recipe, world: TinyWorld) -> bytes:
    return (locate.crm(recipe, world.workspace).path / "model.safetensors").read_bytes()


def opened(recipe: Recipe, world: TinyWorld) -> CrmScorer:
    return CrmScorer.load(locate.crm(recipe, world.workspace).path, world.store, None)


def test_the_result_tells_what_was_trained_and_measured(tiny_copy: TinyWorld, din: Recipe) -> None:
    result = pretrain_crm.run(din, tiny_copy.workspace, device="cpu")

    store = tiny_copy.store
    assert (result.model, result.behaviours, result.history) == ("din", "recent", 8)
    assert result.rows == len(store.split("train"))
    assert result.valid_rows == len(store.split("valid"))
    assert result.stop_on == "all"
    assert result.validation is not None
    counts = {name: found["n"] for name, found in result.validation.items()}
    assert counts["seen"] + counts["unseen"] == counts["all"] == result.valid_rows
    assert json.loads(json.dumps(asdict(result)))["artefact"] == result.artefact
    left = {path.name for path in Path(result.artefact).iterdir()}
    assert left == {
        "model.safetensors",
        "crm_config.json",
        "metrics.json",
        "log.jsonl",
        "manifest.json",
    }


@pytest.mark.parametrize(
    "model", sorted(set(catalog.CRMS) - catalog.RETRIEVING_CRMS - catalog.TEXT_CRMS)
)
def test_every_model_is_trained_and_comes_back(model: str, tiny_copy: TinyWorld) -> None:
    recipe = changed(tiny_copy.recipe, model=model)
    result = pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")

    scorer, rows = opened(recipe, tiny_copy), np.arange(4)
    assert (result.model, scorer.name) == (model, model)
    assert scorer.represent(rows).shape == (4, result.representation_width)
    assert ((scorer.score(rows) > 0) & (scorer.score(rows) < 1)).all()


def test_the_kept_weights_are_the_best_on_validation(tiny_copy: TinyWorld, din: Recipe) -> None:
    result = pretrain_crm.run(din, tiny_copy.workspace, device="cpu")

    passes = json.loads((Path(result.artefact) / "metrics.json").read_text())
    best = max(found["all"]["auc"] for found in passes)
    first = next(found["step"] for found in passes if found["all"]["auc"] == best)
    assert first == result.best_step
    rows = np.asarray(tiny_copy.store.split("valid"))
    scores = opened(din, tiny_copy).score(rows)
    assert auc(tiny_copy.store.row_label(rows), scores) == best


def test_test_rows_are_not_read(
    tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_test_row = tiny_copy.store.split("test").start
    read: list[int] = []
    of_rows = CrmScorer.behaviours

    def spy(self: CrmScorer, rows: np.ndarray) -> np.ndarray:
        read.append(int(np.max(rows)))
        return of_rows(self, rows)

    monkeypatch.setattr(CrmScorer, "behaviours", spy)
    pretrain_crm.run(din, tiny_copy.workspace, device="cpu")

    assert max(read) == first_test_row - 1


def test_a_second_call_is_up_to_date(tiny_copy: TinyWorld, din: Recipe) -> None:
    first = pretrain_crm.run(din, tiny_copy.workspace, device="cpu")
    second = pretrain_crm.run(din, tiny_copy.workspace, device="cpu")

    assert second == type(first)(**{**asdict(first), "up_to_date": True})


def test_the_same_seed_gives_the_same_weights(tiny_copy: TinyWorld, din: Recipe) -> None:
    pretrain_crm.run(din, tiny_copy.workspace, device="cpu")
    first = weights(din, tiny_copy)
    pretrain_crm.run(din, tiny_copy.workspace, device="cpu", force=True)

    assert weights(din, tiny_copy) == first
    other = from_tree({**din.model_dump(mode="json"), "seed": 1})
    pretrain_crm.run(other, tiny_copy.workspace, device="cpu")
    assert weights(other, tiny_copy) != first


@pytest.mark.usefixtures("frequent_checkpoints")
@pytest.mark.parametrize("kill_at", [1, 5, 9])
def test_a_killed_training_goes_on_to_the_same_result(
    kill_at: int, tiny_copy: TinyWorld, din: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pretrain_crm.run(din, tiny_copy.workspace, device="cpu", force=True)
    expected, log = weights(din, tiny_copy), (Path(whole.artefact) / "log.jsonl").read_text()

    with monkeypatch.context() as patch:
        _stop_at(patch, kill_at)
        with pytest.raises(KilledError):
            pretrain_crm.run(din, tiny_copy.workspace, device="cpu", force=True)
    assert locate.crm(din, tiny_copy.workspace).manifest() is None
    again = pretrain_crm.run(din, tiny_copy.workspace, device="cpu")

    assert weights(din, tiny_copy) == expected
    assert (Path(again.artefact) / "log.jsonl").read_text() == log
    timeless = {"seconds": 0, "rows_per_second": 0}
    assert asdict(again) | timeless == asdict(whole) | timeless


def _stop_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """The process ends in the middle of ``step``."""
    from reclora_cli.training import crm_work

    calls = iter(range(10_000))
    loss = crm_work.crm_loss

    def stopping(*arguments: Any) -> torch.Tensor:
        if next(calls) == step:
            raise KilledError
        return loss(*arguments)

    patch.setattr(crm_work, "crm_loss", stopping)


def test_patience_ends_the_training_early(tiny_copy: TinyWorld) -> None:
    recipe = changed(
        tiny_copy.recipe, epochs=60, evaluations_per_epoch=1, patience=1, learning_rate=0.03
    )
    result = pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")

    passes = json.loads((Path(result.artefact) / "metrics.json").read_text())
    assert result.stopped_early
    assert result.steps == passes[-1]["step"]
    assert passes[-2]["step"] == result.best_step


def test_stopping_may_read_seen_or_unseen_users_only(tiny_copy: TinyWorld) -> None:
    recipe = changed(tiny_copy.recipe, stop_on="unseen")
    result = pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")

    passes = json.loads((Path(result.artefact) / "metrics.json").read_text())
    best = max(found["unseen"]["auc"] for found in passes)
    assert result.stop_on == "unseen"
    assert result.validation is not None
    assert result.validation["unseen"]["auc"] == best


def test_a_diverging_loss_is_an_error_that_names_the_step(tiny_copy: TinyWorld) -> None:
    recipe = changed(tiny_copy.recipe, learning_rate=1e30)

    with pytest.raises(RecloraError, match=r"diverged at step \d+: .* last good checkpoint"):
        pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")


def test_sim_without_an_index_names_the_command(tiny_copy: TinyWorld) -> None:
    with pytest.raises(MissingInputError, match="no index") as caught:
        pretrain_crm.run(changed(tiny_copy.recipe, model="sim"), tiny_copy.workspace, device="cpu")

    assert "reclora build-index" in str(caught.value.hint)


def test_more_history_than_was_ranked_is_refused(tiny_copy: TinyWorld) -> None:
    recipe = changed(tiny_copy.recipe, model="sim", history=9)

    with pytest.raises(UsageError, match="9 behaviours, and 8 are ranked") as caught:
        pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")

    assert caught.value.where == "crm.history"


@pytest.mark.parametrize("model", sorted(set(catalog.CRMS) - catalog.TEXT_CRMS))
def test_a_dry_run_predicts_and_writes_nothing(model: str, tiny_copy: TinyWorld) -> None:
    before = sorted(tiny_copy.workspace.root.rglob("*"))
    recipe = changed(tiny_copy.recipe, model=model)

    result = pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu", dry_run=True)

    assert result.dry_run
    assert result.plan is not None
    assert result.plan.seconds > 0
    assert result.plan.memory_bytes > 16 * result.parameters
    assert result.validation is None
    assert sorted(tiny_copy.workspace.root.rglob("*")) == before


def test_another_dataset_is_refused(tiny_copy: TinyWorld, din: Recipe, tmp_path: Path) -> None:
    from tests.world import make_world

    pretrain_crm.run(din, tiny_copy.workspace, device="cpu")
    other = make_world(tmp_path / "other", seed=8)

    with pytest.raises(RecloraError, match="trained on another dataset"):
        CrmScorer.load(locate.crm(din, tiny_copy.workspace).path, other.store, None)


def test_representations_are_cached_for_these_rows_and_this_crm(
    tiny_copy: TinyWorld, din: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain_crm.run(din, tiny_copy.workspace, device="cpu")
    scorer, file, rows = opened(din, tiny_copy), tmp_path / "cache.safetensors", np.array([3, 1, 2])
    expected = scorer.represent(rows)

    np.testing.assert_array_equal(cached_representations(scorer, rows, file), expected)
    with monkeypatch.context() as patch:
        patch.setattr(CrmScorer, "represent", None)
        np.testing.assert_array_equal(cached_representations(scorer, rows, file), expected)
    turned = cached_representations(scorer, rows[::-1], file)
    np.testing.assert_array_equal(turned, scorer.represent(rows[::-1]))
    scorer.identity = "another"
    file.write_bytes(file.read_bytes()[:40])
    np.testing.assert_array_equal(cached_representations(scorer, rows, file), expected)


def test_pairs_are_scored_as_the_rows_they_are(tiny_copy: TinyWorld, din: Recipe) -> None:
    pretrain_crm.run(din, tiny_copy.workspace, device="cpu")
    scorer, store = opened(din, tiny_copy), tiny_copy.store
    rows = np.array([5, 50, 150])
    pairs = (
        store.row_user(rows),
        store.row_item(rows),
        scorer.behaviours(rows),
        store.history_end[rows],
    )

    np.testing.assert_array_equal(scorer.score_pairs(*pairs), scorer.score(rows))
    np.testing.assert_array_equal(scorer.represent_pairs(*pairs), scorer.represent(rows))
    assert scorer.represent(rows).shape == (3, scorer.representation_width)
    assert scorer.represent(rows).dtype == np.float32


def test_no_rows_give_no_scores(tiny_copy: TinyWorld, din: Recipe) -> None:
    pretrain_crm.run(din, tiny_copy.workspace, device="cpu")
    scorer, none = opened(din, tiny_copy), np.array([], dtype=np.int64)

    assert scorer.score(none).shape == (0,)
    assert scorer.represent(none).shape == (0, scorer.representation_width)


def test_scores_do_not_depend_on_the_rows_beside_them(tiny_copy: TinyWorld, din: Recipe) -> None:
    pretrain_crm.run(din, tiny_copy.workspace, device="cpu")
    scorer, rows = opened(din, tiny_copy), np.arange(30)

    alone = np.concatenate([scorer.score(rows[i : i + 1]) for i in rows])
    np.testing.assert_allclose(scorer.score(rows), alone, rtol=1e-5)

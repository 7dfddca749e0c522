"""CTR-BERT through the stages: frozen and tuned, on the tiny world with a tiny BERT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.crm.base import build, representation_width
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.texts import Towers
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.recipe import Recipe, from_tree
from reclora_cli.stages import crm_texts, crm_training, evaluate, locate, pretrain_crm
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.pretrain_crm import PretrainCrmResult
from reclora_cli.training.crm_work import crm_work
from tests.finetuning import copied
from tests.parity.test_crm_ctr_bert import with_encoder
from tests.tiny_bert import tiny_bert, write_tiny_bert
from tests.unit.test_pretrain_crm import KilledError, weights
from tests.world import TinyWorld

__all__ = ["tiny_bert"]
CPU = torch.device("cpu")

pytestmark = pytest.mark.parametrize("tuned", ["none", "all"], scope="module")


def sources(recipe: Recipe, world: TinyWorld) -> Sources:
    return Sources(recipe, world.workspace, CPU)


def changed(recipe: Recipe, **values: Any) -> Recipe:
    tree = recipe.model_dump(mode="json")
    tree["crm"] |= values
    return from_tree(tree)


@pytest.fixture(scope="module")
def recipe(tuned: str, tiny_world: TinyWorld, tiny_bert: Path) -> Recipe:
    return with_encoder(tiny_world.recipe, tiny_bert, tuned)


@pytest.fixture(scope="module")
def training(
    tiny_world: TinyWorld, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PretrainCrmResult, TinyWorld]:
    """What training said, and where: once, for it takes seconds. Read it only."""
    world = copied(tiny_world, tmp_path_factory.mktemp("ctr-bert") / "ws")
    return pretrain_crm.run(recipe, world.workspace, device="cpu"), world


@pytest.fixture
def trained(training: tuple[PretrainCrmResult, TinyWorld], tmp_path: Path) -> TinyWorld:
    """A copy of the world with the trained model, which a test may change."""
    return copied(training[1], tmp_path / "trained")


def test_it_is_trained_and_comes_back_as_it_was(
    training: tuple[PretrainCrmResult, TinyWorld], trained: TinyWorld, recipe: Recipe
) -> None:
    result = training[0]

    scorer, valid = sources(recipe, trained).crm, np.asarray(trained.store.split("valid"))
    scores = scorer.score(valid)
    assert result.model == scorer.name == "ctr-bert"
    assert result.validation is not None
    likes = trained.store.row_label(valid).astype(bool)
    losses = -np.log(np.where(likes, scores, 1 - scores))
    assert losses.mean() == pytest.approx(result.validation["all"]["log_loss"], abs=1e-5)


def test_it_learns_the_training_rows(tuned: str, tiny_copy: TinyWorld, recipe: Recipe) -> None:
    few = {"shots": 64, "batch_size": 64, "epochs": 30, "evaluations_per_epoch": 1}
    sizes = {"dnn_layers": [64], "dropout": 0.0, "learning_rate": 1e-2, "patience": 100}
    longer = changed(recipe, **few, **sizes)

    result = pretrain_crm.run(longer, tiny_copy.workspace, device="cpu")

    lines = (Path(result.artefact) / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if "loss" in json.loads(line)]
    assert len(losses) == 30
    assert losses[0] > 0.69
    assert losses[-1] < (0.67 if tuned == "none" else 0.4)


def test_the_encoder_is_trained_only_where_it_is_tuned(
    tuned: str, trained: TinyWorld, recipe: Recipe
) -> None:
    model = sources(recipe, trained).crm.model
    if tuned == "none":
        assert not any(isinstance(module, Towers) for module in model.modules())
    else:
        before = dict(sources(recipe, trained).crm_texts.encoder.named_parameters())
        after = dict(model.get_submodule("towers.encoder").named_parameters())
        assert before.keys() == after.keys()
        read = {name for name in before if not torch.equal(before[name], after[name])}
        # Key biases cancel in a softmax; nothing else may stay as it was.
        assert {name for name in before if name not in read} <= {
            name for name in before if name.endswith("key.bias")
        }


def test_killed_and_repeated_it_leaves_the_same_weights(
    trained: TinyWorld, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crm_training, "_CHECKPOINT_EVERY", 2)
    expected = weights(recipe, trained)

    def killed(*args: Any, **values: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(crm_training.Validation, "__call__", killed)
        with pytest.raises(KilledError):
            pretrain_crm.run(recipe, trained.workspace, device="cpu", force=True)
    pretrain_crm.run(recipe, trained.workspace, device="cpu")

    assert weights(recipe, trained) == expected


def test_a_second_training_finds_the_texts_encoded(
    tuned: str, trained: TinyWorld, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load = crm_texts.load_encoder

    def spy(name: str, *args: Any, **values: Any) -> Any:
        loads.append(name)
        return load(name, *args, **values)

    monkeypatch.setattr(crm_texts, "load_encoder", spy)
    pretrain_crm.run(changed(recipe, dropout=0.3), trained.workspace, device="cpu")

    assert len(loads) == (0 if tuned == "none" else 1)


def test_gradients_are_the_same_in_any_micro_batches(
    tuned: str, tiny_copy: TinyWorld, tiny_bert: Path
) -> None:
    def step(max_tokens: int) -> tuple[int, dict[str, torch.Tensor]]:
        recipe = with_encoder(tiny_copy.recipe, tiny_bert, tuned, max_tokens)
        recipe = changed(recipe, dropout=0.0)
        store, space = tiny_copy.store, FeatureSpace(tiny_copy.store)
        texts = sources(recipe, tiny_copy).crm_texts
        torch.manual_seed(0)
        model = build(FeatureShape.of(space, texts.width), recipe.crm, texts.encoder).train()
        work = crm_work(
            model,
            store,
            space,
            lambda rows: histories.recent(store, rows, recipe.crm.history),
            recipe.crm,
            0,
            CPU,
            texts=texts.source,
        )
        parts = list(work.micro_batches(1))
        assert sum(weight for _, weight in parts) == pytest.approx(1.0)
        for labelled, weight in parts:
            (work.loss(labelled) * weight).backward()
        return len(parts), {name: p.grad for name, p in model.named_parameters()}

    (one, whole), (many, cut) = step(1_000_000), step(300)

    assert (one, many > 10) == (1, tuned == "all")
    torch.testing.assert_close(cut, whole, rtol=1e-3, atol=1e-6)


def test_scores_do_not_depend_on_which_rows_are_asked_together(
    trained: TinyWorld, recipe: Recipe
) -> None:
    scorer, rows = sources(recipe, trained).crm, np.arange(40)

    alone = np.concatenate([scorer.score(rows[at : at + 1]) for at in rows])
    users, items = trained.store.row_user(rows), trained.store.row_item(rows)
    ends = trained.store.history_end[rows]
    pairs = scorer.score_pairs(users, items, scorer.behaviours(rows), ends)

    np.testing.assert_allclose(scorer.score(rows), alone, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scorer.score(rows), pairs, rtol=0, atol=1e-12)
    assert scorer.represent(rows).shape == (40, scorer.representation_width)
    assert scorer.score(rows[:0]).shape == (0,)
    assert scorer.represent(rows[:0]).shape == (0, scorer.representation_width)


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
def test_the_width_of_its_representation_is_told_without_building_it(
    representation: str, tiny_copy: TinyWorld, recipe: Recipe
) -> None:
    opened = sources(changed(recipe, representation=representation), tiny_copy)
    model = build(opened.crm_shape, opened.recipe.crm, opened.crm_texts.encoder)

    assert representation_width(opened.recipe.crm, opened.crm_shape) == model.representation_width


def test_it_is_evaluated_beside_the_others(trained: TinyWorld, recipe: Recipe) -> None:
    result = evaluate.run(recipe, trained.workspace, device="cpu", lm=False)

    [model] = result.models
    assert model.method == "crm-ctr-bert"
    assert model.all.rows == len(trained.store.split("test"))
    assert model.all.auc is not None


def test_weights_of_another_encoder_are_refused(
    tuned: str, trained: TinyWorld, recipe: Recipe, tmp_path: Path
) -> None:
    other = with_encoder(trained.recipe, write_tiny_bert(tmp_path / "bert", seed=5), tuned)
    made, asked = (locate.crm(r, trained.workspace).path for r in (recipe, other))
    assert made != asked
    made.rename(asked)

    with pytest.raises(RecloraError, match="trained on other texts, or through another encoder"):
        _ = sources(other, trained).crm


def test_a_plan_encodes_and_writes_nothing(tiny_copy: TinyWorld, recipe: Recipe) -> None:
    before = sorted(tiny_copy.workspace.root.rglob("*"))

    result = pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu", dry_run=True)

    assert result.plan is not None
    assert result.plan.seconds > 0
    assert sorted(tiny_copy.workspace.root.rglob("*")) == before


def test_it_can_be_trained_on_a_sample_of_the_rows(tiny_copy: TinyWorld, recipe: Recipe) -> None:
    result = pretrain_crm.run(changed(recipe, shots=70), tiny_copy.workspace, device="cpu")

    assert (result.rows, result.steps) == (70, 4)
    too_many = changed(recipe, shots=10**6)
    with pytest.raises(UsageError, match="1000000 shots asked for") as caught:
        pretrain_crm.run(too_many, tiny_copy.workspace, device="cpu")
    assert caught.value.where == "crm.shots"


def test_a_decoder_cannot_be_tuned_but_frozen(
    tuned: str, tiny_copy: TinyWorld, tiny_lm: Path
) -> None:
    recipe = with_encoder(tiny_copy.recipe, tiny_lm, tuned)

    if tuned == "none":
        result = pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")
        assert result.best_step is not None
    else:
        with pytest.raises(UsageError, match="not an encoder of the BERT kind"):
            pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")

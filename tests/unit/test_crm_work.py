"""What a CRM's training step reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from reclora_cli.crm.base import Crm, build
from reclora_cli.crm.features import FeatureShape
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.recipe.tree import CrmRecipe
from reclora_cli.training.crm_work import (
    Labelled,
    crm_loss,
    crm_work,
    make_unseen_dropout,
    parameter_groups,
    steps_per_epoch,
)
from reclora_cli.training.loop import Work
from tests.world import TinyWorld


@dataclass
class Setting:
    store: InteractionsStore
    space: FeatureSpace
    recipe: CrmRecipe
    model: Crm
    read: list[np.ndarray]

    def work(self, seed: int = 0) -> Work[Labelled]:
        def behaviours(rows: np.ndarray) -> np.ndarray:
            self.read.append(rows)
            return histories.recent(self.store, rows, self.recipe.history)

        return crm_work(
            self.model, self.store, self.space, behaviours, self.recipe, seed, torch.device("cpu")
        )

    def rows_of_steps(self, steps: range, seed: int = 0) -> list[np.ndarray]:
        work = self.work(seed)
        self.read.clear()
        for step in steps:
            list(work.micro_batches(step))
        return list(self.read)


@pytest.fixture
def setting(tiny_world: TinyWorld) -> Setting:
    space = FeatureSpace(tiny_world.store)
    recipe = tiny_world.recipe.crm.model_copy(update={"model": "din", "embedding_decay": 0.5})
    model = build(FeatureShape.of(space), recipe)
    return Setting(tiny_world.store, space, recipe, model, [])


def test_an_epoch_reads_every_training_row_once(setting: Setting) -> None:
    train = np.asarray(setting.store.split("train"))
    steps = steps_per_epoch(len(train), setting.recipe)

    first = np.concatenate(setting.rows_of_steps(range(steps)))
    second = np.concatenate(setting.rows_of_steps(range(steps, 2 * steps)))

    np.testing.assert_array_equal(np.sort(first), train)
    np.testing.assert_array_equal(np.sort(second), train)
    assert not np.array_equal(first, second)


def test_a_step_reads_the_same_rows_whatever_came_before(setting: Setting) -> None:
    in_a_row = setting.rows_of_steps(range(5))
    at_once = setting.rows_of_steps(range(4, 5))

    np.testing.assert_array_equal(in_a_row[4], at_once[0])
    assert not np.array_equal(setting.rows_of_steps(range(4, 5), seed=1)[0], at_once[0])


def test_labels_are_those_of_the_rows(setting: Setting) -> None:
    work = setting.work()
    [((_, labels), weight)] = list(work.micro_batches(0))

    assert weight == 1.0
    np.testing.assert_array_equal(labels.numpy(), setting.store.row_label(setting.read[-1]))


def test_the_loss_reads_users_as_unseen_as_often_as_the_recipe_says(setting: Setting) -> None:
    always = setting.recipe.model_copy(update={"user_dropout": 0.999999, "item_dropout": 0.0})
    unseen = make_unseen_dropout(setting.store, setting.space, always)
    [((batch, labels), _)] = list(setting.work().micro_batches(0))
    setting.model.eval()
    strangers = batch.with_fields(batch.fields_BF.clone())
    for field in range(len(setting.space.user_field_names)):
        code = setting.space.unknown(field)
        few = unseen.rare_V[batch.fields_BF[:, field]]
        strangers.fields_BF[few, field] = code

    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        setting.model(strangers), labels
    )

    torch.testing.assert_close(crm_loss(setting.model, unseen, (batch, labels)), expected)
    known = torch.nn.functional.binary_cross_entropy_with_logits(setting.model(batch), labels)
    assert known != expected


def test_embedding_tables_have_a_decay_of_their_own(setting: Setting) -> None:
    others, tables = parameter_groups(setting.model, setting.recipe)

    assert [tuple(p.shape) for p in tables.parameters] == [
        (setting.space.size, setting.recipe.embedding)
    ]
    assert (others.weight_decay, tables.weight_decay) == (0.0, 0.5)
    assert len(others.parameters) + 1 == len(list(setting.model.parameters()))


def test_a_label_that_is_neither_is_named_with_its_row(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.array(setting.store.label, dtype=np.float32)
    row = int(np.asarray(setting.store.split("train"))[3])
    labels[setting.store.row_position[row]] = np.nan
    monkeypatch.setattr(setting.store, "label", labels)

    with pytest.raises(RecloraError, match=f"1 of .* the first is nan of row {row}"):
        setting.work()


def test_an_empty_training_split_is_an_error(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting.store, "split", lambda name: range(0))

    with pytest.raises(RecloraError, match="training split is empty"):
        setting.work()


def test_an_index_outside_the_vocabulary_stops_before_the_device(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting.space, "size", setting.space.size // 2)

    with pytest.raises(RecloraError, match="outside the vocabulary"):
        setting.rows_of_steps(range(1))

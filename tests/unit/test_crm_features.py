"""What a CRM knows of its feature space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from reclora_cli.crm.batch import OLDEST, age, make_batch, make_pair_batch
from reclora_cli.crm.features import FEW, FeatureShape, carried_by_few, space_identity
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from tests.world import TinyWorld, make_world


def test_the_item_field_is_the_items_id(tiny_world: TinyWorld) -> None:
    space = FeatureSpace(tiny_world.store)
    shape = FeatureShape.of(space)

    assert space.field_names[shape.item_field] == "item_id"
    assert (shape.size, shape.fields) == (space.size, len(space.field_names))


def test_the_same_preparation_has_the_same_identity(tiny_world: TinyWorld, tmp_path: Path) -> None:
    store = tiny_world.store
    again, other = make_world(tmp_path / "a").store, make_world(tmp_path / "b", seed=8).store

    assert space_identity(FeatureSpace(again), again) == space_identity(FeatureSpace(store), store)
    assert space_identity(FeatureSpace(other), other) != space_identity(FeatureSpace(store), store)


def test_a_users_value_is_rare_when_few_training_users_have_it(
    tiny_world: TinyWorld,
) -> None:
    store, space = tiny_world.store, FeatureSpace(tiny_world.store)
    few = carried_by_few(space, store)
    users = np.flatnonzero(store.seen_users)

    for field, name in enumerate(space.user_field_names):
        codes = space.users_fields(users)[:, field]
        for code in np.unique(codes):
            assert few[code] == ((codes == code).sum() <= FEW), name
    assert few[space.users_fields(users)[:, 0]].all()


def test_ages_double_and_count_the_users_own_behaviours() -> None:
    positions = np.array([[90, 96, 98, 99, -1], [0, -1, -1, -1, -1]])

    told = age(positions, ends=np.array([100, 1 << 20]))

    assert told.tolist() == [[4, 3, 2, 1, 0], [OLDEST, 0, 0, 0, 0]]


def test_a_row_and_the_pair_that_it_is_have_the_same_ages(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    space, rows = FeatureSpace(store), np.arange(30)
    positions = histories.recent(store, rows, 7)

    of_rows = make_batch(space, rows, positions)
    of_pairs = make_pair_batch(
        space, store.row_user(rows), store.row_item(rows), positions, store.history_end[rows]
    )

    assert torch.equal(of_rows.ages_BL, of_pairs.ages_BL)
    assert torch.equal(of_rows.ages_BL > 0, of_rows.mask_BL)
    last = of_rows.mask_BL.sum(1) - 1
    assert (of_rows.ages_BL[torch.arange(30), last][last >= 0] == 1).all()

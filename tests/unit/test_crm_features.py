"""What a CRM knows of its feature space."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reclora_cli.crm.features import FEW, FeatureShape, carried_by_few, space_identity
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

"""Rows as embedding indices: one slot a value, one unknown slot a field, nothing untrained."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.data.features import PADDING, FeatureSpace
from reclora_cli.data.histories import recent
from reclora_cli.data.store import InteractionsStore
from tests.world import TinyWorld


@pytest.fixture(scope="module")
def store(tiny_world: TinyWorld) -> InteractionsStore:
    return tiny_world.store


@pytest.fixture(scope="module")
def space(store: InteractionsStore) -> FeatureSpace:
    return FeatureSpace(store)


def _seen_values(store: InteractionsStore, field: str) -> set[object]:
    """Values of a field that a training row's user or target carries, found row by row."""
    users, items = store.users, store.items
    seen = set()
    for row in store.split("train"):
        table, at = (
            (users, store.row_user(row)) if field in users.columns else (items, store.row_item(row))
        )
        seen.add(table[field].iloc[at])
    return seen


def test_size_counts_padding_unknown_slots_values_and_ratings(
    store: InteractionsStore, space: FeatureSpace
) -> None:
    values = [len(store.vocabulary(name)) for name in space.field_names]
    assert space.size == 1 + sum(1 + count for count in values) + 1 + 5


def test_every_field_of_every_row_reads_the_slot_of_its_value(
    store: InteractionsStore, space: FeatureSpace
) -> None:
    slots = space.rows(np.arange(len(store)))
    for at, field in enumerate(space.field_names):
        seen = _seen_values(store, field)
        values = store.vocabulary(field).tolist()
        of_users = field in store.header.user_fields
        table = store.users if of_users else store.items
        for row in range(len(store)):
            who = store.row_user(row) if of_users else store.row_item(row)
            value = table[field].iloc[who]
            place = 1 + values.index(value) if value in seen else 0
            assert slots[row, at] == space.unknown(at) + place


def test_values_unseen_in_training_share_their_fields_unknown_slot(
    store: InteractionsStore, space: FeatureSpace
) -> None:
    strangers = np.flatnonzero(~store.seen_users)
    slots = space.pairs(strangers, np.zeros_like(strangers))
    assert len(strangers) > 1
    assert (slots[:, 0] == space.unknown(0)).all()


def test_blocks_of_fields_do_not_overlap(store: InteractionsStore, space: FeatureSpace) -> None:
    slots = space.rows(np.arange(len(store)))
    ends = [*space.offsets[1:], space.size]
    for at in range(len(space.field_names)):
        assert (slots[:, at] >= space.offsets[at]).all()
        assert (slots[:, at] < ends[at]).all()


def test_history_reads_item_and_rating_of_each_behaviour(
    store: InteractionsStore, space: FeatureSpace
) -> None:
    rows = np.array([len(store) - 1, 0, 300])
    positions = recent(store, rows, 40)
    items, ratings, present = space.history(positions)
    item_field = space.field_names.index("item_id")
    for row, column in np.ndindex(*positions.shape):
        position = positions[row, column]
        assert present[row, column] == (position >= 0)
        if position < 0:
            assert items[row, column] == ratings[row, column] == PADDING
            continue
        item = int(store.item[position])
        place = 1 + item if store.seen_items[item] else 0
        assert items[row, column] == space.unknown(item_field) + place
        assert ratings[row, column] == space.offsets[-1] + 1 + store.rating[position]


def test_a_behaviour_and_a_target_share_their_items_slot(
    store: InteractionsStore, space: FeatureSpace
) -> None:
    rows = np.arange(50)
    items, _, _ = space.history(store.row_position[rows][:, None])
    item_field = space.field_names.index("item_id")
    np.testing.assert_array_equal(items[:, 0], space.rows(rows)[:, item_field])


def test_a_pair_that_is_no_row_reads_like_one_that_is(
    store: InteractionsStore, space: FeatureSpace
) -> None:
    rows = np.arange(0, len(store), 7)
    pairs = space.pairs(store.row_user(rows), store.row_item(rows))
    np.testing.assert_array_equal(pairs, space.rows(rows))


def test_item_fields_of_behaviours_keep_the_shape_of_the_ids(
    store: InteractionsStore, space: FeatureSpace
) -> None:
    items = np.arange(12).reshape(3, 4)
    fields = space.items_fields(items)
    assert fields.shape == (3, 4, 3)
    np.testing.assert_array_equal(fields[1, 2], space.pairs(np.array([0]), np.array([6]))[0, 5:])


def test_training_rows_read_no_unknown_slot(store: InteractionsStore, space: FeatureSpace) -> None:
    slots = space.rows(np.asarray(store.split("train")))
    assert not np.isin(slots, space.offsets).any()

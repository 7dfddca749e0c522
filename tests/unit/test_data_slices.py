"""Break-downs of rows part them by what training has seen and by history length."""

from __future__ import annotations

import numpy as np

from reclora_cli.data.slices import history_length, seen_item, seen_user, slices
from tests.world import TinyWorld


def test_seen_means_carried_by_a_training_row(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    users = {int(store.row_user(row)) for row in store.split("train")}
    items = {int(store.row_item(row)) for row in store.split("train")}
    rows = np.arange(len(store))
    assert seen_user(store, rows).tolist() == [int(u) in users for u in store.row_user(rows)]
    assert seen_item(store, rows).tolist() == [int(i) in items for i in store.row_item(rows)]


def test_history_length_counts_earlier_behaviours_of_the_user(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    rows = np.arange(0, len(store), 11)
    at = store.row_position[rows]
    expected = [
        sum(int(store.user[earlier]) == int(store.user[own]) for earlier in range(own))
        for own in at
    ]
    assert history_length(store, rows).tolist() == expected


def test_each_break_down_parts_the_rows(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    rows = np.asarray(store.split("test"))
    found = slices(store, rows)
    for kind in ("user", "item", "history"):
        masks = [mask for name, mask in found.items() if kind in name]
        np.testing.assert_array_equal(np.sum(masks, axis=0), np.ones(len(rows)))


def test_empty_slices_are_left_out(tiny_world: TinyWorld) -> None:
    found = slices(tiny_world.store, np.asarray(tiny_world.store.split("train")))
    assert "unseen user" not in found
    assert all(mask.any() for mask in found.values())

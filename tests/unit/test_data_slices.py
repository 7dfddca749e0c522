"""Each row carries what training has seen of it, its history length and its item's popularity."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from reclora_cli.data.slices import (
    HISTORY_BOUNDS,
    POPULARITY_BOUNDS,
    bin_labels,
    history_length,
    row_slices,
    seen_item,
    seen_user,
    training_counts,
)
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


def test_popularity_is_the_number_of_training_rows_of_the_item(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    counted = Counter(int(store.row_item(row)) for row in store.split("train"))
    expected = [counted[item] for item in range(store.header.items)]
    assert training_counts(store).tolist() == expected
    rows = np.arange(len(store))
    bins = row_slices(store, rows).popularity_bin
    for row in rows[::7]:
        count = counted[int(store.row_item(row))]
        low = POPULARITY_BOUNDS[bins[row]]
        above = (*POPULARITY_BOUNDS, 10**12)[bins[row] + 1]
        assert low <= count < above


def test_an_item_unseen_in_training_has_popularity_nought(tiny_world: TinyWorld) -> None:
    found = row_slices(tiny_world.store, np.arange(len(tiny_world.store)))
    assert not found.seen_item.all()
    np.testing.assert_array_equal(found.popularity_bin == 0, ~found.seen_item)


def test_each_break_down_parts_the_rows(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    rows = np.asarray(store.split("test"))
    found = row_slices(store, rows).masks()
    for kind in ("user", "item", "history", "popularity"):
        masks = [mask for name, mask in found.items() if kind in name]
        np.testing.assert_array_equal(np.sum(masks, axis=0), np.ones(len(rows)))


def test_empty_slices_are_left_out(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    found = row_slices(store, np.asarray(store.split("train"))).masks()
    assert "unseen user" not in found
    assert "popularity 0" not in found
    assert all(mask.any() for mask in found.values())


@pytest.mark.parametrize(
    ("bounds", "labels"),
    [
        (HISTORY_BOUNDS, ["0-9", "10-29", "30-99", "100-299", "300+"]),
        (
            POPULARITY_BOUNDS,
            ["0", "1-4", "5-19", "20-99", "100-499", "500-1,999", "2,000-9,999", "10,000+"],
        ),
    ],
)
def test_bins_are_called_by_their_bounds(bounds: tuple[int, ...], labels: list[str]) -> None:
    assert bin_labels(bounds) == labels

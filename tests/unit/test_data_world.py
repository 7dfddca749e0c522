"""The tiny world has what tests of other rooms rely on."""

from __future__ import annotations

import numpy as np

from tests.world import ITEMS, USERS, TinyWorld


def test_tiny_world_has_thirty_users_and_forty_items(tiny_world: TinyWorld) -> None:
    header = tiny_world.store.header
    assert (header.users, header.items) == (USERS, ITEMS)


def test_tiny_world_has_users_and_items_unseen_in_training(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    assert 0 < np.count_nonzero(~store.seen_users) < USERS
    assert 0 < np.count_nonzero(~store.seen_items) < ITEMS


def test_tiny_world_has_ties_and_both_labels_in_every_split(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    same = (store.time[1:] == store.time[:-1]) & (store.user[1:] == store.user[:-1])
    assert same.any()
    for split in ("train", "valid", "test"):
        assert len(set(store.row_label(np.asarray(store.split(split))).tolist())) == 2

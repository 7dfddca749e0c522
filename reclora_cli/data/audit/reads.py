"""Values that no training row carries are read through the unknown embedding only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.audit.report import Check, chunks
from reclora_cli.data.features import PADDING, FeatureSpace
from reclora_cli.data.store import InteractionsStore, Ints

Bools = NDArray[np.bool_]


def unseen_values_are_unknown(store: InteractionsStore, features: FeatureSpace) -> Check:
    """Every index read for any user, item or behaviour is padding, an unknown slot, or trained.

    Which values training carries is found here from the stored codes themselves.
    """
    name = "no embedding of a value unseen in training is read"
    read, trained = _read(store, features), _trained(store, features)
    wrong = np.flatnonzero(read & ~trained)
    detail = f"{len(wrong):,} broken, first index {wrong[0]}" if len(wrong) else ""
    return Check(name, not len(wrong), int(read.sum()), detail)


def _trained(store: InteractionsStore, features: FeatureSpace) -> Bools:
    """(size,) bool: what rows of training carry, and what is always trained."""
    users = np.zeros(store.header.users, dtype=bool)
    items = np.zeros(store.header.items, dtype=bool)
    ratings = np.zeros(len(store.header.rating_values), dtype=bool)
    for part in chunks(store.split("train").stop):
        at = store.row_position[part]
        users[store.user[at]] = items[store.item[at]] = True
        ratings[store.rating[at]] = True
    first = len(store.header.user_fields)
    trained = np.zeros(features.size, dtype=bool)
    trained[PADDING] = True
    trained[features.offsets] = True
    trained[features.offsets[:first] + 1 + store.user_fields[users]] = True
    trained[features.offsets[first:-1] + 1 + store.item_fields[items]] = True
    trained[features.offsets[-1] + 1 + np.flatnonzero(ratings)] = True
    return trained


def _read(store: InteractionsStore, features: FeatureSpace) -> Bools:
    """(size,) bool: what the feature space reads, every user, item and rating being asked."""
    read = np.zeros(features.size, dtype=bool)
    users, items = store.header.users, store.header.items
    for part in chunks(max(users, items)):
        pair = np.arange(part.start, part.stop)
        read[features.pairs(pair % users, pair % items)] = True
    of_item, of_rating = _places(store)
    for part in chunks(len(of_item)):
        _read_history(read, features, of_item[part])
    _read_history(read, features, of_rating)
    return read


def _read_history(read: Bools, features: FeatureSpace, positions: Ints) -> None:
    items, ratings, _ = features.history(positions[:, None])
    read[items] = True
    read[ratings] = True


def _places(store: InteractionsStore) -> tuple[Ints, Ints]:
    """A position where each item stands (those that stand somewhere), and likewise each rating."""
    items = np.full(store.header.items, -1, dtype=np.int64)
    ratings = np.full(len(store.header.rating_values), -1, dtype=np.int64)
    for part in chunks(store.header.behaviours):
        positions = np.arange(part.start, part.stop)
        items[store.item[part]] = positions
        ratings[store.rating[part]] = positions
    return items[items >= 0], ratings[ratings >= 0]

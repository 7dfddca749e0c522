"""Break-downs of rows: what training has seen of them, and how much history they have."""

from __future__ import annotations

import numpy as np

from reclora_cli.data.store import InteractionsStore, Ints

HISTORY_BOUNDS = (0, 10, 30, 100, 300)


def seen_user(store: InteractionsStore, rows: Ints) -> Ints:
    """Whether each row's user has a training row, (n,) bool."""
    return store.seen_users[store.row_user(rows)]


def seen_item(store: InteractionsStore, rows: Ints) -> Ints:
    """Whether each row's item is the target of a training row, (n,) bool."""
    return store.seen_items[store.row_item(rows)]


def history_length(store: InteractionsStore, rows: Ints) -> Ints:
    """Behaviours in each row's past, (n,) int64."""
    start, end = store.history_bounds(rows)
    return end.astype(np.int64) - start


def slices(store: InteractionsStore, rows: Ints) -> dict[str, Ints]:
    """Named masks over ``rows``, (n,) bool each; empty slices are left out.

    ``seen user`` and ``unseen user`` part the rows, as do the items' and the histories'.
    """
    user, item, length = (of(store, rows) for of in (seen_user, seen_item, history_length))
    found = {
        "seen user": user,
        "unseen user": ~user,
        "seen item": item,
        "unseen item": ~item,
    }
    for low, high in zip(HISTORY_BOUNDS, (*HISTORY_BOUNDS[1:], None), strict=True):
        name = f"history {low}-{high - 1}" if high else f"history {low}+"
        found[name] = (length >= low) & (length < high if high else True)
    return {name: mask for name, mask in found.items() if mask.any()}

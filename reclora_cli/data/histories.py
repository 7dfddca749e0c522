"""Which behaviours a row is shown, as positions in the store's CSR.

Both policies return (n, k) int64 arrays: positions in time order, left-aligned, -1 after the end.
"""

from __future__ import annotations

import numpy as np

from reclora_cli.data.store import InteractionsStore, Ints

NO_POSITION = -1
NOW = np.iinfo(np.int64).max
"""In place of a time: after all that is known of a user."""
_AFTER_ALL = np.iinfo(np.int64).max


def recent(store: InteractionsStore, rows: Ints, k: int) -> Ints:
    """The last ``k`` behaviours of each row's history, (n, k) int64.

    Args:
        store: the interactions.
        rows: row ids, (n,).
        k: behaviours asked for; a shorter history is padded.
    """
    rows = np.asarray(rows)
    start, end = store.history_bounds(rows)
    start = np.maximum(start.astype(np.int64), end.astype(np.int64) - k)
    positions = start[:, None] + np.arange(k)
    return np.where(positions < end[:, None], positions, NO_POSITION)


def in_time_order(ranked: Ints, k: int) -> Ints:
    """The best ``k`` of each row's ranked behaviours, in time order, (n, k) int64.

    Args:
        ranked: (n, K) positions of one user a row, best first, -1 after the end.
        k: how many of them are kept; at most K.
    """
    assert k <= ranked.shape[1], "more behaviours asked for than were ranked"
    best = np.asarray(ranked[:, :k], dtype=np.int64)
    ordered = np.sort(np.where(best < 0, _AFTER_ALL, best), axis=1)
    return np.where(ordered == _AFTER_ALL, NO_POSITION, ordered)

"""Which interactions stay: those of described users and items, and of the k-core.

A k-core (Seidman, 1983; "5-core" in the literature of recommendation) is what is left when every
user and every item with fewer than k interactions is taken away, again and again until all that
are left have k of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.building.columns import pieces_of
from reclora_cli.data.building.spool import Spool

Bools = NDArray[np.bool_]
Ints = NDArray[Any]


def described(spool: Spool, users: Bools, items: Bools) -> Bools:
    """(n,) whether both user and item of each interaction are described.

    Args:
        users: of each user code, whether a file describes it; ``items`` likewise.
    """
    kept = [users[piece["user"]] & items[piece["item"]] for piece in spool.columns.pieces()]
    return np.concatenate(kept)


def k_core(users: Ints, items: Ints, kept: Bools, k: int) -> Bools:
    """(n,) the interactions of ``kept`` that are in the k-core.

    Args:
        users, items: (n,) codes of each interaction; they may be memory-mapped.
        kept: (n,) what is there to begin with; not changed.
        k: interactions that each user and each item must have.
    """
    kept = kept.copy()
    user_count, item_count = _count(users, kept), _count(items, kept)
    while True:
        removed = 0
        few_users, few_items = user_count < k, item_count < k
        for piece in pieces_of(len(kept)):
            gone = kept[piece] & (few_users[users[piece]] | few_items[items[piece]])
            if gone.any():
                kept[piece] &= ~gone
                user_count -= np.bincount(users[piece][gone], minlength=len(user_count))
                item_count -= np.bincount(items[piece][gone], minlength=len(item_count))
                removed += int(gone.sum())
        if not removed:
            return kept


def _count(codes: Ints, kept: Bools) -> Ints:
    size = int(codes.max()) + 1
    count = np.zeros(size, dtype=np.int64)
    for piece in pieces_of(len(kept)):
        count += np.bincount(codes[piece][kept[piece]], minlength=size)
    return count

"""What is asked: will this user like this item, knowing the user's behaviours up to here?

A stored row is such a question; so is any (user, item) pair asked about now. Both carry the end of
the CSR range that may be read, so an answer can never look past it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data import histories
from reclora_cli.data.store import InteractionsStore
from reclora_cli.retrieval.ranked import rank_questions

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Questions:
    """n questions.

    Attributes:
        users: (n,) dense user ids.
        items: (n,) dense item ids.
        ends: (n,) exclusive end in the CSR of what may be read of the user's behaviours.
        rows: (n,) row ids when these are stored rows, else ``None``.
    """

    users: Positions
    items: Positions
    ends: Positions
    rows: Positions | None = None

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of_rows(cls, store: InteractionsStore, rows: Positions) -> Questions:
        rows = np.asarray(rows, dtype=np.int64)
        users, items = store.row_user(rows), store.row_item(rows)
        return cls(
            users.astype(np.int64),
            items.astype(np.int64),
            store.history_end[rows].astype(np.int64),
            rows,
        )

    @classmethod
    def of_user(cls, store: InteractionsStore, user: int, items: Positions) -> Questions:
        """Items asked about after all of the user's behaviours but those of the item itself.

        For an item the user has rated, the question is asked as it stood at that time.
        """
        start, end = int(store.user_start[user]), int(store.user_start[user + 1])
        own = np.asarray(store.item[start:end])
        ends = []
        for item in items:
            met = np.flatnonzero(own == item)
            ends.append(start + int(met[0]) if len(met) else end)
        return cls(np.full(len(items), user), np.asarray(items, dtype=np.int64), np.array(ends))

    def recent(self, store: InteractionsStore, k: int) -> Positions:
        """The last ``k`` behaviours before each question, (n, k) as ``histories.recent``."""
        starts = store.user_start[self.users]
        first = np.maximum(starts, self.ends - k)
        positions = first[:, None] + np.arange(k)
        return np.where(positions < self.ends[:, None], positions, histories.NO_POSITION)

    def retrieved(
        self,
        store: InteractionsStore,
        ranked: NDArray[np.int32],
        vectors: NDArray[np.float32],
        k: int,
    ) -> Positions:
        """The ``k`` behaviours most similar to each item, (n, k) in time order, -1 after the end.

        Stored rows are read from ``ranked``; other questions are ranked now from ``vectors``.
        """
        if self.rows is not None:
            return histories.in_time_order(ranked[self.rows], k)
        found = rank_questions(
            vectors, store.item, store.user_start, self.users, self.items, self.ends, k
        )
        return histories.in_time_order(found, k)

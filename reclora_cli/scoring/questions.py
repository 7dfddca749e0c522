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
from reclora_cli.retrieval.past import RankedPast

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

        For an item the user has rated, the question is asked as it stood at that time; where the
        store excludes ties, before that second.
        """
        start, end = int(store.user_start[user]), int(store.user_start[user + 1])
        own, time = np.asarray(store.item[start:end]), np.asarray(store.time[start:end])
        ends = []
        for item in items:
            met = np.flatnonzero(own == item)
            if len(met) and store.header.ties == "exclude":
                met = np.searchsorted(time, time[met[:1]])
            ends.append(start + int(met[0]) if len(met) else end)
        return cls(np.full(len(items), user), np.asarray(items, dtype=np.int64), np.array(ends))

    @classmethod
    def of_pairs(
        cls, store: InteractionsStore, users: Positions, items: Positions, times: Positions
    ) -> Questions:
        """Any pairs, each asked about at a time of its own.

        Args:
            users, items: (n,) dense ids.
            times: (n,) seconds since 1970: behaviours strictly before that second are read.
                ``histories.NOW``: as ``of_user`` asks.
        """
        ends = np.empty(len(users), dtype=np.int64)
        for at, (user, item, time) in enumerate(zip(users, items, times, strict=True)):
            if time == histories.NOW:
                ends[at] = cls.of_user(store, int(user), np.array([item])).ends[0]
            else:
                start, end = (int(bound) for bound in store.user_start[user : user + 2])
                ends[at] = start + np.searchsorted(store.time[start:end], time)
        return cls(np.asarray(users, np.int64), np.asarray(items, np.int64), ends)

    @classmethod
    def of_pair(cls, store: InteractionsStore, user: int, item: int) -> Questions:
        """One user and one item: the user's latest stored row of it, else asked about now."""
        rows = store.rows_of_user(user)
        of_item = rows[store.row_item(rows) == item]
        if len(of_item):
            return cls.of_rows(store, of_item[-1:])
        return cls.of_user(store, user, np.array([item]))

    @classmethod
    def now(cls, store: InteractionsStore, user: int) -> Questions:
        """After all of the user's behaviours, of no item (0 stands there): for what reads none."""
        return cls(np.array([user]), np.zeros(1, np.int64), store.user_start[[user + 1]])

    def recent(self, store: InteractionsStore, k: int) -> Positions:
        """The last ``k`` behaviours before each question, (n, k) as ``histories.recent``."""
        starts = store.user_start[self.users]
        first = np.maximum(starts, self.ends - k)
        positions = first[:, None] + np.arange(k)
        return np.where(positions < self.ends[:, None], positions, histories.NO_POSITION)

    def retrieved(self, past: RankedPast, k: int) -> Positions:
        """The ``k`` behaviours most similar to each item, (n, k) in time order, -1 after the end.

        Questions that are no stored rows are ranked now.
        """
        if self.rows is not None:
            return histories.in_time_order(past.of(self.rows), k)
        return histories.in_time_order(past.of_questions(self.users, self.items, self.ends, k), k)

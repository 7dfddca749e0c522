"""Rows as indices into one embedding table, with an unknown slot for each field.

Index 0 is padding. Then each field has one unknown slot followed by its values, in the order
``user_fields + item_fields``; a last block of the same form is for ratings of behaviours. A
value that no training row carries is read as its field's unknown slot, so an embedding that
was never trained is never read.

Shapes: n rows, F fields, L behaviours.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore, Ints

PADDING = 0


class FeatureSpace:
    """The embedding indices of a store's rows and behaviours.

    Attributes:
        field_names: target fields in order, users' before items'.
        offsets: (F + 1,) int64, each field's unknown slot; the last is the history rating's.
        size: number of indices, padding included.
    """

    def __init__(
        self, store: InteractionsStore, trained_on: InteractionsStore | None = None
    ) -> None:
        """Of ``store``; ``trained_on``: the one whose training rows decide which values are known,
        where that is another (``store`` holds new users of the same items)."""
        self._store = store
        self._trained_on = trained_on or store
        header = store.header
        self.user_field_names = header.user_fields
        self.item_field_names = header.item_fields
        self.field_names: tuple[str, ...] = header.user_fields + header.item_fields
        values = [*header.field_sizes, len(header.rating_values)]
        starts = np.cumsum([PADDING + 1, *(1 + count for count in values)])
        self.offsets: Ints = starts[:-1]
        self.size = int(starts[-1])

    def unknown(self, field: int) -> int:
        """The unknown slot of field number ``field`` (F stands for the history rating)."""
        return int(self.offsets[field])

    def rows(self, rows: Ints) -> Ints:
        """Fields of each row's user and target, (n, F) int64."""
        return self.pairs(self._store.row_user(rows), self._store.row_item(rows))

    def pairs(self, users: Ints, items: Ints) -> Ints:
        """Fields of each (user, item) pair, (n, F) int64; pairs need not be stored as rows."""
        return np.concatenate([self._user_slots[users], self._item_slots[items]], axis=1)

    def users_fields(self, users: Ints) -> Ints:
        """Fields of dense user ids of any shape, (..., F_u) int64."""
        return self._user_slots[users]

    def items_fields(self, items: Ints) -> Ints:
        """Fields of dense item ids of any shape, (..., F_i) int64; the first is the item id."""
        return self._item_slots[items]

    def ends(self, rows: Ints) -> Ints:
        """Exclusive ends in the CSR of what each row may read, (n,)."""
        return self._store.history_end[rows]

    def history(self, positions: Ints) -> tuple[Ints, Ints, Ints]:
        """Behaviours as the CRM reads them.

        Args:
            positions: (n, L) positions in the CSR, -1 for padding.

        Returns:
            Item id slots (n, L) int64, rating slots (n, L) int64, and (n, L) bool: present.
        """
        present = positions >= 0
        safe = np.where(present, positions, 0)
        items = self._item_slots[self._store.item[safe], 0]
        ratings = self._rating_slots[self._store.rating[safe]]
        return np.where(present, items, PADDING), np.where(present, ratings, PADDING), present

    @cached_property
    def _user_slots(self) -> Ints:
        of = self._trained_on
        return self._slots(self._store.user_fields, of.user_fields[of.seen_users], 0)

    @cached_property
    def _item_slots(self) -> Ints:
        of, first = self._trained_on, len(self.user_field_names)
        return self._slots(self._store.item_fields, of.item_fields[of.seen_items], first)

    @cached_property
    def _rating_slots(self) -> Ints:
        """Slot of each rating code, (ratings,) int64."""
        of = self._trained_on
        codes = np.arange(len(of.header.rating_values))
        rows = of.split("train")
        train = of.row_position[rows.start : rows.stop]
        seen = np.bincount(of.rating[train], minlength=len(codes)) > 0
        return self.offsets[-1] + np.where(seen, 1 + codes, 0)

    def _slots(self, codes: Ints, trained: Ints, first_field: int) -> Ints:
        """Slot of each field of each user (item): (n, fields) int64.

        Args:
            codes: (n, fields); -1 is a value that has no code.
            trained: (m, fields) codes of those seen in training.
        """
        columns = []
        for at in range(codes.shape[1]):
            known = _values_in(trained[:, at], codes[:, at])
            columns.append(self.offsets[first_field + at] + np.where(known, 1 + codes[:, at], 0))
        return np.stack(columns, axis=1).astype(np.int64)


def _values_in(seen: Ints, values: Ints) -> Ints:
    """Whether each of ``values`` occurs in ``seen``; both are small codes, -1 occurs nowhere."""
    highest = max(int(values.max(initial=-1)), int(seen.max(initial=-1)))
    occurs = np.zeros(highest + 2, dtype=bool)  # -1 finds the last, which no code is
    occurs[seen] = True
    return occurs[values]


def field_count(store: InteractionsStore) -> int:
    """Fields as Table 1 counts them: the target's, history id and history rating."""
    return (
        len(store.header.user_fields) + len(store.header.item_fields) + len(schema.HISTORY_FIELDS)
    )


def feature_count(store: InteractionsStore) -> int:
    """Features as Table 1 counts them: the values of all fields, and the rating values."""
    return sum(store.header.field_sizes) + len(store.header.rating_values)

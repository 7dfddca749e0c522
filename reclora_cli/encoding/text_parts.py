"""What the texts of users and items are made of: each distinct text once, and where it is said.

A user's text is the profile and the behaviours with their ratings. Rows differ in which behaviours
are told, so there are as many user texts as rows, but only as many parts as users' profiles and as
rated items.

Shapes: n pairs, L behaviours, R rating values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.store import InteractionsStore
from reclora_cli.encoding.tokens import distinct
from reclora_cli.prompt.write import PromptWriter

Ints = NDArray[np.integer]
NO_TEXT = -1


@dataclass(frozen=True)
class Said:
    """Which texts n pairs are made of.

    Attributes:
        profiles: (n,) numbers of profile texts.
        behaviours: (n, L) numbers of behaviour texts in time order, -1 after the end.
        items: (n,) numbers of item texts.
    """

    profiles: Ints
    behaviours: Ints
    items: Ints


@dataclass(frozen=True)
class TextParts:
    """The distinct texts of a store, and which of them each user and item has.

    Attributes:
        profiles, behaviours, items: distinct texts.
    """

    profiles: Sequence[str]
    behaviours: Sequence[str]
    items: Sequence[str]
    _store: InteractionsStore
    _of_user: Ints
    _of_rated: Ints
    _of_item: Ints

    @classmethod
    def of(cls, store: InteractionsStore, writer: PromptWriter) -> TextParts:
        """All texts that rows of ``store`` can be made of, as ``writer`` words them."""
        ratings = len(store.header.rating_values)
        codes = _rated(store, ratings)
        profiles, of_user = distinct(writer.profile_texts())
        behaviours, of_code = distinct(writer.behaviour_texts(codes // ratings, codes % ratings))
        items, of_item = distinct(writer.item_texts())
        of_rated = np.full(store.header.items * ratings, NO_TEXT, dtype=np.int32)
        of_rated[codes] = of_code
        return cls(profiles, behaviours, items, store, of_user, of_rated, of_item)

    def rows(self, rows: Ints, positions: Ints) -> Said:
        """Of stored rows (n,) that tell of the behaviours at ``positions``, (n, L), -1 padded."""
        users, items = self._store.row_user(rows), self._store.row_item(rows)
        return self.pairs(users, items, positions)

    def pairs(self, users: Ints, items: Ints, positions: Ints) -> Said:
        """Of any pairs of dense ids, (n,) and (n,), likewise."""
        positions, store = np.asarray(positions), self._store
        safe = np.maximum(positions, 0)
        ratings = len(store.header.rating_values)
        codes = store.item[safe].astype(np.int64) * ratings + store.rating[safe]
        behaviours = np.where(positions >= 0, self._of_rated[codes], NO_TEXT)
        return Said(self._of_user[users], behaviours, self._of_item[items])


def _rated(store: InteractionsStore, ratings: int) -> Ints:
    """Every (item, rating) that occurs, as ``item * R + rating`` in ascending order."""
    occurs = np.zeros(store.header.items * ratings, dtype=bool)
    step = 1 << 22
    for start in range(0, store.header.behaviours, step):
        part = slice(start, start + step)
        occurs[store.item[part].astype(np.int64) * ratings + store.rating[part]] = True
    return np.flatnonzero(occurs)

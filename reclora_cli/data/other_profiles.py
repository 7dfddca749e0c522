"""One user under several profiles: what a what-if about profile fields is asked of.

A view, not a copy: behaviours, items, texts and vocabularies are the store's own. Its users are one
user of the store, again and again, each time with other values in some columns; the user's id stays
what it is, so a model that knows the user still does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore, Ints


class OtherProfiles(InteractionsStore):
    """User ``who`` of a store under profiles numbered 0, 1, ...; positions are the store's.

    It has no rows, and says of nobody which behaviours are theirs: who asks gives positions.

    Attributes:
        known: the store.
    """

    def __init__(
        self, known: InteractionsStore, who: int, changes: Sequence[Mapping[str, str]]
    ) -> None:
        """``changes``: of each profile, column of ``store.users`` -> value, worded as there."""
        self.known = known
        self.folder = known.folder
        self.header = replace(known.header, users=len(changes), rows=0, split_rows=(0, 0, 0))
        for name in ("user", "item", "rating", "time", "label", "item_fields"):
            setattr(self, name, getattr(known, name))
        self.user_start = np.empty(0, dtype=np.int64)
        self.row_position = np.empty(0, dtype=np.int64)
        self.history_end = np.empty(0, dtype=np.int64)
        self.user_fields = np.stack([self._codes(who, change) for change in changes])
        self._who, self._changes = who, changes

    @property
    def seen_users(self) -> Ints:
        return np.full(self.header.users, self.known.seen_users[self._who])

    @property
    def seen_items(self) -> Ints:
        return self.known.seen_items

    @property
    def items(self) -> pd.DataFrame:
        return self.known.items

    @property
    def users(self) -> pd.DataFrame:
        """The user's line once for each profile, with what is changed."""
        line = self.known.users.iloc[self._who].to_dict()
        return pd.DataFrame([{**line, **change} for change in self._changes], dtype=object)

    def _codes(self, who: int, change: Mapping[str, str]) -> Ints:
        codes = np.array(self.known.user_fields[who], dtype=np.int32)
        for at, name in enumerate(self.header.user_fields):
            if name in change and name != schema.USER:
                values = [str(value) for value in self.known.vocabulary(name)]
                codes[at] = values.index(change[name])
        return codes

"""From a store's users, items and positions to prompts and item texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.prompt.template import PromptTemplate

Ints = NDArray[Any]


class PromptWriter:
    """Writes prompts of one store with one template. Each text is made once and reused."""

    def __init__(self, store: InteractionsStore, template: PromptTemplate) -> None:
        """Check that the store has what the template says.

        Raises:
            UsageError: a column of users or items is missing.
        """
        self.template = template
        self._store = store
        for what, table, needed in (
            ("users", store.users, template.profile_fields),
            ("items", store.items, template.item_fields),
        ):
            missing = [name for name in needed if name not in table.columns]
            if missing:
                raise UsageError(
                    f"the {what} of {store.header.dataset} have no {', '.join(missing)}, "
                    "which the prompt template writes",
                    where="prompt.template",
                )

    def text(self, users: Ints, items: Ints, positions: Ints) -> list[str]:
        """The prompts of n questions, without chat framing.

        Args:
            users: (n,) dense user ids.
            items: (n,) dense ids of the targets.
            positions: (n, L) behaviours in time order, -1 after the end.
        """
        positions = np.asarray(positions)
        safe = np.maximum(positions, 0)
        codes = self._store.item[safe].astype(np.int64) * self._ratings + self._store.rating[safe]
        counts = (positions >= 0).sum(axis=1).tolist()
        rated, profiles, titles = self._rated, self._profiles, self._titles
        return [
            self.template.question(
                profiles[user], [rated[code] for code in row[:count]], titles[item]
            )
            for user, item, row, count in zip(
                np.asarray(users).tolist(),
                np.asarray(items).tolist(),
                codes.tolist(),
                counts,
                strict=True,
            )
        ]

    def item_texts(self) -> list[str]:
        """The text of every item for its embedding, in dense id order."""
        records = _records(self._store.items, self.template.item_fields)
        return [self.template.item_text(fields) for fields in records]

    @property
    def _ratings(self) -> int:
        return len(self._store.header.rating_values)

    @cached_property
    def _titles(self) -> list[str]:
        return self._store.items[schema.TITLE].astype(str).tolist()

    @cached_property
    def _profiles(self) -> list[dict[str, str]]:
        return _records(self._store.users, self.template.profile_fields)

    @cached_property
    def _rated(self) -> list[str]:
        values = self._store.header.rating_values
        return [self.template.rated(title, stars) for title in self._titles for stars in values]


def _records(table: pd.DataFrame, fields: Sequence[str]) -> list[dict[str, str]]:
    """Each row's fields as text."""
    columns = [table[name].astype(str) for name in fields]
    return [dict(zip(fields, values, strict=True)) for values in zip(*columns, strict=True)]

"""From a store's users, items and positions to prompts and item texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError, did_you_mean
from reclora_cli.prompt.template import NOUN, PromptTemplate, opinion

Ints = NDArray[Any]
Texts = Mapping[int, Mapping[str, str]]

UNKNOWN = "unknown"
"""What is said where a user or an item lacks a value."""


class PromptWriter:
    """Writes prompts of one store with one template.

    A text is made when it is asked for, from columns that stay as they lie in the store: with a
    million items no list of all their texts is kept.
    """

    def __init__(self, store: InteractionsStore, template: PromptTemplate) -> None:
        """Check that the store has what the template says.

        Raises:
            UsageError: a placeholder is none of its columns; names those there are.
        """
        self.template = template
        self._store = store
        self._labels = set(store.header.rating_values) <= {0.0, 1.0}
        for text, said, what, table in (
            ("profile", template.user_fields, "users", store.users),
            ("behaviour", template.behaviour_fields, "items", store.items),
            ("question", template.target_fields, "items", store.items),
            ("item", template.text_fields, "items", store.items),
        ):
            _check(text, said, what, table.columns, store.header.dataset)

    def text(self, users: Ints, items: Ints, positions: Ints) -> list[str]:
        """The prompts of n questions, without chat framing.

        Args:
            users: (n,) dense user ids.
            items: (n,) dense ids of the targets.
            positions: (n, L) behaviours in time order, -1 after the end.
        """
        positions, template = np.asarray(positions), self.template
        said = self._behaviours(positions)
        profiles = _records(self._store.users, template.user_fields, users)
        targets = _records(self._store.items, template.target_fields, items)
        counts = (positions >= 0).sum(axis=1).tolist()
        codes = self._codes(positions).tolist()
        noun = self._store.header.noun
        return [
            template.render(
                profiles[user], [said[code] for code in row[:count]], targets[item], noun
            )
            for user, item, row, count in zip(
                np.asarray(users).tolist(), np.asarray(items).tolist(), codes, counts, strict=True
            )
        ]

    def item_texts(self, items: Ints | None = None) -> list[str]:
        """The text of items for their embeddings.

        Args:
            items: dense ids; by default all, in order.
        """
        if items is None:
            items = np.arange(self._store.header.items)
        records = _records(self._store.items, self.template.text_fields, items)
        noun, item = self._store.header.noun, self.template.item
        return [item.format_map({**records[at], NOUN: noun}) for at in np.asarray(items).tolist()]

    def profile_texts(self) -> list[str]:
        """The profile line of every user, in order; empty texts where the template has none."""
        users = np.arange(self._store.header.users)
        return [
            self.template.render_profile(record, self._store.header.noun)
            for record in _records(self._store.users, self.template.user_fields, users).values()
        ]

    def behaviour_texts(self, items: Ints, ratings: Ints) -> list[str]:
        """The text of n behaviours, as prompts list them.

        Args:
            items: (n,) dense ids.
            ratings: (n,) codes into ``rating_values``.
        """
        codes = np.asarray(items).astype(np.int64) * len(self._store.header.rating_values) + ratings
        said = self._worded(np.unique(codes))
        return [said[code] for code in codes.tolist()]

    def _codes(self, positions: Ints) -> Ints:
        """Of each position the item and rating as one number."""
        safe = np.maximum(positions, 0)
        ratings = len(self._store.header.rating_values)
        return self._store.item[safe].astype(np.int64) * ratings + self._store.rating[safe]

    def _behaviours(self, positions: Ints) -> dict[int, str]:
        """The text of each (item, rating) that occurs at ``positions``, by code."""
        return self._worded(np.unique(self._codes(positions[positions >= 0])))

    def _worded(self, codes: Ints) -> dict[int, str]:
        header = self._store.header
        items, ratings = np.divmod(codes, len(header.rating_values))
        opinions = [
            {**opinion(value, value >= header.like_from, self._labels), NOUN: header.noun}
            for value in header.rating_values
        ]
        records = _records(self._store.items, self.template.behaviour_fields, items)
        return {
            code: self.template.behaviour.format_map({**records[item], **opinions[rating]})
            for code, item, rating in zip(
                codes.tolist(), items.tolist(), ratings.tolist(), strict=True
            )
        }


def _check(text: str, said: Iterable[str], what: str, columns: pd.Index[str], dataset: str) -> None:
    missing = sorted(set(said) - set(columns))
    if missing:
        found = [str(column) for column in columns]
        raise UsageError(
            f"the {what} of {dataset} have no {', '.join(missing)}, which the {text} text says; "
            f"they have {', '.join(found)}",
            where=f"prompt.texts.{text}",
            hint=did_you_mean(missing[0], found)
            + " Word the text otherwise in prompt.texts, or choose another prompt.template.",
        )


def _records(table: pd.DataFrame, fields: Iterable[str], at: Ints) -> Texts:
    """The fields as text of the rows numbered ``at``, each row once."""
    rows = np.unique(np.asarray(at))
    names = sorted(fields)
    columns = [_as_text(table[name], rows) for name in names]
    if not columns:
        return {row: {} for row in rows.tolist()}
    return {
        row: dict(zip(names, values, strict=True))
        for row, values in zip(rows.tolist(), zip(*columns, strict=True), strict=True)
    }


def _as_text(column: pd.Series[Any], rows: Ints) -> list[str]:
    chosen = pa.Array.from_pandas(column.take(rows))
    return [UNKNOWN if value is None or value == "" else str(value) for value in chosen.to_pylist()]

"""Who and what is asked about: the user, the target, the question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.stages import locate


@dataclass(frozen=True)
class Target:
    """The item asked about.

    Attributes:
        row_id, split: of a stored row only.
        date, rating, label: of that row, or of the user's first behaviours, which are no rows;
            ``None`` where the user has not rated the item.
    """

    item: str
    title: str
    genre: str
    row_id: int | None
    split: str | None
    date: str | None
    rating: float | None
    label: int | None


def question_of(
    recipe: Recipe, store: InteractionsStore, user: int, item: str | None
) -> Questions | None:
    """What is asked: the item named, the user's latest row, or, of the gate alone, nothing.

    Raises:
        UsageError: no such item; or no row to ask about, and the gate needs one.
    """
    if item is not None:
        return Questions.of_pair(store, user, store.find_item(item))
    rows = store.rows_of_user(user)
    if len(rows):
        return Questions.of_rows(store, rows[-1:])
    if locate.informed(recipe) and locate.target_free_gate(recipe):
        return None
    raise UsageError(
        "this user has behaviours but no row to explain",
        where="--user",
        hint='Name a target: --item "Heat (1995)".',
    )


def profile_of_user(store: InteractionsStore, user: int) -> dict[str, str]:
    """Columns of the user's profile."""
    line = store.users.iloc[user]
    return {str(name): str(value) for name, value in line.items() if name != schema.USER}


def rows_by_split(store: InteractionsStore, rows: Positions) -> dict[str, int]:
    """How many of ``rows`` each split holds."""
    counts = np.bincount(store.split_of(rows), minlength=len(schema.SPLITS))
    return {name: int(count) for name, count in zip(schema.SPLITS, counts, strict=True)}


def target_of(store: InteractionsStore, question: Questions) -> Target:
    """The item of one question."""
    line = store.items.iloc[int(question.items[0])]
    row = None if question.rows is None else int(question.rows[0])
    position = _rated_at(store, question) if row is None else int(store.row_position[row])
    return Target(
        item=str(line[schema.ITEM]),
        title=str(line[schema.TITLE]),
        genre=str(line.get(schema.GENRE, "")),
        row_id=row,
        split=None if row is None else schema.SPLITS[int(store.split_of(np.array([row]))[0])],
        date=None if position is None else date_at(store, position),
        rating=None if position is None else rating_at(store, position),
        label=None if position is None else int(store.label[position]),
    )


def _rated_at(store: InteractionsStore, question: Questions) -> int | None:
    """Position of the user's first rating of the item asked about; ``None`` without one."""
    start, end = (int(at) for at in store.user_start[question.users[0] : question.users[0] + 2])
    found = np.flatnonzero(store.item[start:end] == question.items[0])
    return start + int(found[0]) if len(found) else None


def title_at(store: InteractionsStore, position: int) -> str:
    """Title of the behaviour at a position."""
    return str(store.items[schema.TITLE].iloc[int(store.item[position])])


def date_at(store: InteractionsStore, position: int) -> str:
    """Its day."""
    return store.date(int(store.time[position]))


def rating_at(store: InteractionsStore, position: int) -> float:
    """Its rating."""
    return float(store.header.rating_values[int(store.rating[position])])

"""Traits of training rows that an expert's rows are compared by: of the target and of the user.

Shapes: n rows, F traits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.slices import history_length, training_counts
from reclora_cli.data.store import InteractionsStore
from reclora_cli.scoring.questions import Positions
from reclora_cli.stages.explaining.item_traits import item_genres, item_years

LEAST_ROWS, LEAST_USERS = 20, 5
"""A trait is compared where so many rows and users have it, and so many rows have it not."""

MOST_VALUES = 30
"""Profile columns of more values name too few users each (zip codes)."""


@dataclass(frozen=True)
class YesNo:
    """A trait that a row has or has not: ``genre Comedy``."""

    about: str
    value: str
    has: NDArray[np.bool_]


@dataclass(frozen=True)
class Number:
    """A trait that a row has more or less of; NaN where it is not known."""

    about: str
    values: NDArray[np.float64]


def yes_no_traits(store: InteractionsStore, rows: Positions) -> list[YesNo]:
    """Genres and decades of the target, values of the user's profile; rare ones are left out."""
    items, users = store.row_item(rows), store.row_user(rows)
    genres, names = item_genres(store)
    found = [YesNo("genre", name, genres[items, at]) for at, name in enumerate(names)]
    years = item_years(store)[items]
    decades = np.unique(np.floor(years[np.isfinite(years)] / 10).astype(int)) * 10
    found += [YesNo("released", f"{at}s", (years >= at) & (years < at + 10)) for at in decades]
    for at, name in enumerate(store.header.user_fields[1:], start=1):
        values = store.vocabulary(name)
        if len(values) <= MOST_VALUES:
            codes = store.user_fields[users, at]
            said = list(enumerate(values))
            # Of two values one tells all.
            shown = said[:1] if len(said) == 2 else said
            found += [YesNo(name, str(value), codes == code) for code, value in shown]
    return [trait for trait in found if _frequent(trait.has, users)]


def number_traits(
    store: InteractionsStore, rows: Positions, crm_probability: NDArray[np.float64]
) -> list[Number]:
    """Popularity and year of the target, the user's behaviours so far, what the CRM answers."""
    items = store.row_item(rows)
    found = [
        Number("popularity of the target", training_counts(store)[items].astype(np.float64)),
        Number("year of release", item_years(store)[items]),
        Number("behaviours before the row", history_length(store, rows).astype(np.float64)),
        Number("the CRM's P(like)", crm_probability),
    ]
    return [trait for trait in found if np.isfinite(trait.values).sum() >= 2 * LEAST_ROWS]


def _frequent(has: NDArray[np.bool_], users: Positions) -> bool:
    return (
        int(has.sum()) >= LEAST_ROWS
        and int((~has).sum()) >= LEAST_ROWS
        and len(np.unique(users[has])) >= LEAST_USERS
    )

"""What is told of items: genres, year of release.

Shapes: m items, G genres.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.prompt.write import UNKNOWN

_YEAR = re.compile(r"\((\d{4})\)\s*$")
_YEARS = (1000, 2100)
_NO_GENRE = {"", UNKNOWN, "(no genres listed)"}
"""What stands where an item has no genre; the last is MovieLens-25M's."""


def item_genres(store: InteractionsStore) -> tuple[NDArray[np.bool_], list[str]]:
    """(m, G) which genres each item has, and their names; of ``genres``, else of ``genre``.

    ``genres`` is a list, or a text that joins them by ``|`` (Goodreads). No columns where the store
    has neither; a word for a missing one is no genre.
    """
    items = store.items
    column = next((name for name in (schema.GENRES, schema.GENRE) if name in items.columns), None)
    said = [[]] * len(items) if column is None else [_named(one) for one in items[column]]
    names = sorted({name for one in said for name in one})
    at = {name: place for place, name in enumerate(names)}
    found = np.zeros((len(items), len(names)), dtype=bool)
    for item, one in enumerate(said):
        found[item, [at[name] for name in one]] = True
    return found, names


def _named(said: object) -> list[str]:
    """The genres that a value of a column names."""
    if isinstance(said, str):
        names = said.split("|")
    else:
        names = [str(name) for name in said] if isinstance(said, Iterable) else []
    return [name for name in names if name not in _NO_GENRE]


def item_years(store: InteractionsStore) -> NDArray[np.float64]:
    """(m,) year of release: the column ``year``, else four digits in brackets at a title's end.

    NaN where it is not known.
    """
    items = store.items
    if schema.YEAR in items.columns:
        return np.array([_year(str(one)) for one in items[schema.YEAR]])
    found = (_YEAR.search(str(title)) for title in items[schema.TITLE])
    return np.array([_year(one.group(1)) if one else np.nan for one in found])


def _year(said: str) -> float:
    try:
        year = float(said)
    except ValueError:
        return float("nan")
    return year if _YEARS[0] <= year <= _YEARS[1] else float("nan")

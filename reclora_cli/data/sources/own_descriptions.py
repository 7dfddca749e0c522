"""What a user's own files say of users or items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.reading.table import Rows, TableFile, read_rows
from reclora_cli.data.reading.values import as_text, missing
from reclora_cli.data.sources.base import Ids
from reclora_cli.recipe.tables import DescriptionsRecipe

UNKNOWN = "unknown"
"""What a field without a value reads."""


@dataclass(frozen=True)
class _Field:
    """A column; of several values in one, the first, where ``first_of`` says what divides them."""

    column: str
    first_of: str | None


class Descriptions:
    """The fields of users or of items."""

    def __init__(
        self, recipe: DescriptionsRecipe | None, file: TableFile, id_name: str, id_column: str
    ) -> None:
        """Nothing is read yet.

        Args:
            recipe: which fields; ``None``: the id is all that is known.
            file: where they stand: a file of their own, or the interactions'.
            id_name: ``user_id`` or ``item_id``.
            id_column: the column of ids in the interactions file.
        """
        self._file = file
        self._id_name = id_name
        self._key = recipe.key if recipe and recipe.key else id_column
        self._empty = recipe.empty if recipe else ()
        self._fields = _fields(recipe)
        self._everyone_is = recipe is None or (recipe.file is None and not self._fields)

    def of(self, ids: Ids) -> pd.DataFrame:
        """The described ones among ``ids``, each once: its first line counts.

        Raises:
            RecloraError: a line does not fit, or a column is missing.
        """
        names = [self._id_name, *self._fields]
        if self._everyone_is:
            found = pd.DataFrame({self._id_name: ids.to_pandas()})
        else:
            parts = [self._worded(rows) for rows in self._first_rows(ids)]
            nothing = pa.table({name: pa.array([], pa.string()) for name in names})
            found = pa.concat_tables([nothing, *parts]).to_pandas()
        return self._titled(found)

    def _first_rows(self, ids: Ids) -> Iterator[Rows]:
        """The first row of each of ``ids``."""
        index = pd.Index(ids.to_pandas())
        seen = np.zeros(len(index), dtype=bool)
        columns = [self._key, *(field.column for field in self._fields.values())]
        for rows in read_rows(self._file, columns):
            place = index.get_indexer(as_text(rows.columns[self._key]).to_pandas())
            first = _first_of_each(place) & ~seen[place]
            seen[place[first]] = True
            if first.any():
                yield rows.chosen(first)

    def _worded(self, rows: Rows) -> pa.Table:
        columns = {self._id_name: as_text(rows.columns[self._key])}
        for name, field in self._fields.items():
            text = _text(rows.columns[field.column], field)
            none = pa.array(missing(text, {"", *self._empty}))
            columns[name] = pc.if_else(none, pa.scalar(self._instead(name), pa.string()), text)
        return pa.table(columns)

    def _instead(self, name: str) -> str | None:
        """What stands where there is no value; a title is put in afterwards."""
        return None if name == schema.TITLE and self._id_name == schema.ITEM else UNKNOWN

    def _titled(self, found: pd.DataFrame) -> pd.DataFrame:
        """Items without a title go by their id."""
        if self._id_name != schema.ITEM:
            return found
        ids = found[schema.ITEM]
        titles = found[schema.TITLE].fillna(ids) if schema.TITLE in found else ids
        return found.assign(**{schema.TITLE: titles})


def _fields(recipe: DescriptionsRecipe | None) -> dict[str, _Field]:
    if recipe is None:
        return {}
    return {
        name: _Field(given, None)
        if isinstance(given, str)
        else _Field(given.column, given.first_of)
        for name, given in [*recipe.fields.items(), *recipe.texts.items()]
    }


def _first_of_each(place: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(n,) whether a place is met for the first time; -1 never is."""
    first = np.zeros(len(place), dtype=bool)
    first[np.unique(place, return_index=True)[1]] = True
    return first & (place >= 0)


def _text(column: pa.Array, field: _Field) -> pa.Array:
    """The column's values as text, without blanks around them."""
    if field.first_of is None:
        text = as_text(column)
    elif pa.types.is_list(column.type):
        longer = pc.greater(pc.list_value_length(column), 0)
        lists = pc.if_else(longer, column, pa.scalar(None, column.type))
        text = as_text(pc.list_element(pc.fill_null(lists, [""]), 0))
    else:
        text = pc.list_element(pc.split_pattern(as_text(column), field.first_of), 0)
    return pc.utf8_trim_whitespace(text)

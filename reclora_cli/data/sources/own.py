"""A user's own files as a source: what ``data.tables`` of a recipe says of them.

Ids are text, whatever the file holds, so that 007 stays 007. Where there is no time, an
interaction's line stands for it: the order is the file's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.reading.csv_dialect import Dialect
from reclora_cli.data.reading.table import Rows, TableFile, kind_of, read_rows
from reclora_cli.data.reading.values import (
    TimeFormat,
    as_text,
    is_any_of,
    labels,
    missing,
    numbers,
    require_ids,
)
from reclora_cli.data.sources.base import Chunk, RawDataset, Source
from reclora_cli.data.sources.own_descriptions import Descriptions
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.recipe.tables import (
    DescriptionsRecipe,
    FileRecipe,
    InteractionsRecipe,
    RatingRecipe,
    TablesRecipe,
)
from reclora_cli.recipe.tree import DataRecipe

WITHOUT_RATING = "without rating"
WITHOUT_TIME = "without time"
_KEY = "data.tables"


def own_source(recipe: DataRecipe) -> Source:
    """The source that ``recipe.tables`` describes; ``read`` takes the interactions file.

    Raises:
        UsageError: the name cannot be a folder's, or labels and ``data.like_from`` disagree.
    """
    tables = recipe.tables
    assert tables is not None
    rating = tables.interactions.rating
    _check_name(recipe.source)
    if rating.is_label and not 0 < recipe.like_from <= 1:
        raise UsageError(
            f"labels are read as 1 (like) and 0, and a like is to be {recipe.like_from:g} or more",
            where="data.like_from",
            hint="Set data.like_from: 1.0.",
        )
    return Source(
        name=recipe.source,
        label=recipe.source,
        noun=tables.noun,
        terms="",
        terms_url="",
        user_fields=(schema.USER, *_fields(tables.users)),
        item_fields=(schema.ITEM, *_fields(tables.items)),
        rating_values=_scale(rating),
        files={},
        addresses=(),
        read=lambda path: _open(tables, path),
        undescribed=tables.undescribed,
        timed=tables.interactions.time is not None,
        locate=lambda path: _files(tables, path),
    )


def is_own_name(name: str) -> bool:
    """Whether ``name`` can be a dataset of one's own: it becomes a folder."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def _check_name(name: str) -> None:
    if not is_own_name(name):
        raise UsageError(
            f"{name!r} cannot be the name of a dataset",
            where="data.source",
            hint="Letters, digits, dashes, underscores and dots will do, the first a letter.",
        )


def _fields(described: DescriptionsRecipe | None) -> tuple[str, ...]:
    return tuple(described.fields) if described else ()


def _scale(rating: RatingRecipe) -> tuple[float, ...] | None:
    if rating.is_label:
        return (0.0, 1.0)
    return tuple(sorted(set(rating.values))) if rating.values else None


def _open(tables: TablesRecipe, path: Path) -> RawDataset:
    path = _interactions_path(path)
    file = _table_file(tables.interactions, path)
    reading = _Interactions(tables.interactions, file)
    of_users = _descriptions(tables.users, file, schema.USER, tables.interactions.user)
    of_items = _descriptions(tables.items, file, schema.ITEM, tables.interactions.item)
    return RawDataset(
        interactions=reading.chunks,
        users=of_users.of,
        items=of_items.of,
        left_out=reading.left_out,
    )


def _descriptions(
    recipe: DescriptionsRecipe | None, interactions: TableFile, id_name: str, id_column: str
) -> Descriptions:
    named = recipe.file if recipe else None
    file = _table_file(recipe, Path(named)) if recipe and named else interactions
    return Descriptions(recipe, file, id_name, id_column)


def _files(tables: TablesRecipe, path: Path) -> dict[str, Path]:
    """The files by name; of two of one name the later goes by what it describes, too."""
    found = {(path := _interactions_path(path)).name: path}
    for kind, described in (("users", tables.users), ("items", tables.items)):
        if described is not None and described.file is not None:
            file = Path(described.file)
            if not file.is_file():
                raise MissingInputError(
                    "no such file", where=str(file), hint=f"Check {_KEY}.{kind}.file."
                )
            found[file.name if file.name not in found else f"{kind}/{file.name}"] = file
    return found


def _interactions_path(path: Path) -> Path:
    if path.is_dir():
        raise UsageError(
            "a folder: the file of the interactions is wanted",
            where=str(path),
            hint="Name the file with --from. Others are named in data.tables of the recipe.",
        )
    return path


def _table_file(recipe: FileRecipe, path: Path) -> TableFile:
    dialect = Dialect(recipe.delimiter, recipe.encoding, recipe.quote, recipe.escape, recipe.header)
    kind = kind_of(path) if recipe.format == "auto" else recipe.format
    return TableFile(path, kind, dialect)


class _Interactions:
    """The interactions file, read as often as it is asked for."""

    def __init__(self, recipe: InteractionsRecipe, file: TableFile) -> None:
        self._recipe = recipe
        self._file = file
        self._left_out: dict[str, int] = {}

    def left_out(self) -> Mapping[str, int]:
        return dict(self._left_out)

    def chunks(self) -> Iterator[Chunk]:
        recipe = self._recipe
        time = recipe.time
        columns = [recipe.user, recipe.item, recipe.rating.column, *([time.column] if time else [])]
        plain = [] if recipe.rating.is_label else [recipe.rating.column]
        self._left_out = {WITHOUT_RATING: 0} if recipe.rating.none else {}
        if time and time.missing == "drop":
            self._left_out[WITHOUT_TIME] = 0
        for rows in read_rows(self._file, columns, plain):
            kept = self._timed(self._rated(rows))
            if len(kept):
                yield self._chunk(kept)

    def _chunk(self, rows: Rows) -> Chunk:
        recipe, where = self._recipe, rows.where
        user, item = (
            require_ids(as_text(rows.columns[name]), recipe.empty, name, where)
            for name in (recipe.user, recipe.item)
        )
        return Chunk(
            users=user,
            items=item,
            ratings=self._ratings(rows),
            times=self._times(rows),
            file=self._file.path,
            lines=rows.lines,
        )

    def _rated(self, rows: Rows) -> Rows:
        rating = self._recipe.rating
        if not rating.none:
            return rows
        none = is_any_of(rows.columns[rating.column], rating.none)
        return self._without(rows, none, WITHOUT_RATING)

    def _timed(self, rows: Rows) -> Rows:
        time = self._recipe.time
        if time is None or time.missing == "error":
            return rows
        none = missing(as_text(rows.columns[time.column]), self._recipe.empty)
        return self._without(rows, none, WITHOUT_TIME)

    def _without(self, rows: Rows, dropped: NDArray[np.bool_], why: str) -> Rows:
        self._left_out[why] += int(np.count_nonzero(dropped))
        return rows.chosen(~dropped)

    def _ratings(self, rows: Rows) -> NDArray[np.float64]:
        rating = self._recipe.rating
        column = rows.columns[rating.column]
        if rating.like is not None and rating.dislike is not None:
            return labels(column, rating.like, rating.dislike, rating.column, rows.where)
        found = numbers(column, rating.column, rows.where)
        if rating.between is not None:
            low, high = rating.between
            off = (found < low) | (found > high)
            if off.any():
                at = int(np.argmax(off))
                raise RecloraError(
                    f"{rating.column}: {found[at]:g} is off the scale of {low:g} to {high:g}",
                    where=rows.where(at),
                    hint="If it means that there is no rating, name it in rating.none.",
                )
        return found

    def _times(self, rows: Rows) -> NDArray[np.int64]:
        time = self._recipe.time
        if time is None:
            return rows.lines
        column = rows.columns[time.column]
        none = missing(as_text(column), self._recipe.empty)
        if none.any():
            raise RecloraError(
                f"{time.column} is empty",
                where=rows.where(int(np.argmax(none))),
                hint="Set time.missing: drop to leave such interactions out.",
            )
        return TimeFormat(time.format).seconds(column, time.column, rows.where)

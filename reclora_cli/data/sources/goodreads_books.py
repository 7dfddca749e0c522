"""Books of the UCSD Book Graph: fields and texts of the wanted ones, out of three files.

The twelve fields of a book, each a text with ``unknown`` as the value of what is missing:

    item_id         book_id (an edition)
    title           title, which names series and volume too
    author          name of the author who stands first
    genre           the one that most shelves name (goodreads_book_genres_initial)
    publisher, year, language, format    as the file has them
    pages           num_pages in classes: under 50, 50-99, 100-199, ..., 1000 or more
    average_rating  rounded to tenths; 0.00 is missing. It is the value at the time of collection,
                    so it knows later ratings: a mild leak
    series          id of the series that stands first
    work            id of the work of which the book is an edition

For prompts there is also ``genres``, all genres joined by ``|``, the one named most first.

The files are read in a stream, a block at a time, and only wanted books are kept, as Arrow
columns: the graph describes 2.36 M books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.reading.json_lines import read_json_lines, read_objects
from reclora_cli.data.reading.json_problem import shown
from reclora_cli.data.sources.base import Ids
from reclora_cli.errors import RecloraError

Ints = NDArray[np.int64]

UNKNOWN = "unknown"
LANGUAGE, FORMAT, PAGES = "language", "format", "pages"
AVERAGE_RATING, SERIES, WORK = "average_rating", "series", "work"
BOOK_FIELDS = (
    schema.ITEM,
    schema.TITLE,
    schema.AUTHOR,
    schema.GENRE,
    schema.PUBLISHER,
    schema.YEAR,
    LANGUAGE,
    FORMAT,
    PAGES,
    AVERAGE_RATING,
    SERIES,
    WORK,
)

_TEXT = pa.string()
_AUTHOR_ID = "author_id"
_BOOKS = pa.schema(
    [
        pa.field("book_id", _TEXT, nullable=False),
        ("work_id", _TEXT),
        ("title", _TEXT),
        ("authors", pa.list_(pa.struct([(_AUTHOR_ID, _TEXT)]))),
        ("series", pa.list_(_TEXT)),
        ("publisher", _TEXT),
        ("publication_year", _TEXT),
        ("language_code", _TEXT),
        ("format", _TEXT),
        ("num_pages", _TEXT),
        ("average_rating", _TEXT),
    ]
)
_AUTHORS = pa.schema(
    [pa.field(_AUTHOR_ID, _TEXT, nullable=False), pa.field("name", _TEXT, nullable=False)]
)
_AS_THEY_ARE = {
    "title": schema.TITLE,
    "publisher": schema.PUBLISHER,
    "publication_year": schema.YEAR,
    "language_code": LANGUAGE,
    "format": FORMAT,
    "work_id": WORK,
}
_WHOLE_NUMBER = "^[0-9]{1,18}$"
_DECIMAL = r"^[0-9]{1,9}(\.[0-9]{1,9})?$"
_PAGES_FROM = np.array([0, 50, *range(100, 1001, 100)])
_PAGE_CLASSES = pa.array(
    ["under 50", "50-99", *(f"{at}-{at + 99}" for at in range(100, 1000, 100)), "1000 or more"]
)
_OBJECTS_AT_ONCE = 50_000


@dataclass(frozen=True)
class BookFiles:
    """Where books, their genres and their authors are described."""

    books: Path
    genres: Path
    authors: Path


def read_books(files: BookFiles, ids: Ids) -> pd.DataFrame:
    """Those of the books ``ids`` that the files describe, each once.

    Args:
        files: the three files.
        ids: (n,) int64.

    Returns:
        Columns ``BOOK_FIELDS`` and ``genres``, none missing.

    Raises:
        RecloraError: a line that does not fit; file and line are named.
    """
    books = _Wanted(ids).gather(files.books, _books)
    found = books.column(schema.ITEM).combine_chunks()
    genres = _Wanted(found).align(files.genres, _genres)
    authors = books.column(_AUTHOR_ID).combine_chunks()
    table = books.drop_columns([_AUTHOR_ID])
    table = table.append_column(schema.AUTHOR, _names(files.authors, authors))
    for name in (schema.GENRE, schema.GENRES):
        table = table.append_column(name, _or_unknown(genres.column(name)))
    return table.to_pandas()


def whole_numbers(texts: pa.Array, name: str, file: Path, lines: Ints) -> Ints:
    """Ids written in digits, (n,) int64.

    Args:
        texts: (n,) values of field ``name`` at ``lines`` of ``file``.

    Raises:
        RecloraError: one is not written so.
    """
    fits = pc.match_substring_regex(texts, _WHOLE_NUMBER)
    if not pc.all(fits).as_py():
        at = fits.to_pylist().index(False)
        raise RecloraError(
            f"{name} {shown(texts[at].as_py())} is no whole number",
            where=f"{file}:{lines[at]}",
            hint='Expected digits in quotes, as in "12345".',
        )
    numbers: Ints = texts.cast(pa.int64()).to_numpy()
    return numbers


class _Wanted:
    """Ids that are looked for while a file streams by; rows of the first line of each stay.

    Tables that are gathered have a column ``item_id`` of int64, whatever the ids are of.
    """

    def __init__(self, ids: Ids) -> None:
        self._in_order: Ints = ids.to_numpy()
        self._ids: Ints = np.unique(self._in_order)

    def gather(self, file: Path, read: Callable[[Path], Iterator[pa.Table]]) -> pa.Table:
        """The rows whose id is wanted, in file order, each id once.

        Raises:
            RecloraError: the file has only blank lines.
        """
        met = np.zeros(len(self._ids) + 1, dtype=bool)
        kept = []
        for table in read(file):
            places = self._places(table.column(schema.ITEM).to_numpy())
            first = np.unique(places, return_index=True)[1]
            first = np.sort(first[~met[places[first]] & (places[first] < len(self._ids))])
            met[places[first]] = True
            kept.append(table.take(pa.array(first)))
        if not kept:
            raise RecloraError("there is nothing but blank lines", where=str(file))
        return pa.concat_tables(kept).combine_chunks()

    def align(self, file: Path, read: Callable[[Path], Iterator[pa.Table]]) -> pa.Table:
        """One row for each wanted id in the order given; null where the file has none."""
        found = self.gather(file, read)
        row_of = np.full(len(self._ids), -1)
        row_of[self._places(found.column(schema.ITEM).to_numpy())] = np.arange(len(found))
        rows = row_of[self._places(self._in_order)]
        return found.take(pa.array(rows, mask=rows < 0))

    def _places(self, ids: Ints) -> Ints:
        """Place of each id among the wanted ones; one past the end for others."""
        size = len(self._ids)
        if not size:
            return np.zeros(len(ids), dtype=np.int64)
        places = np.searchsorted(self._ids, ids)
        return np.where(self._ids[np.minimum(places, size - 1)] == ids, places, size)


def _books(file: Path) -> Iterator[pa.Table]:
    for rows in read_json_lines(file, _BOOKS):
        table, lines = rows.table.combine_chunks(), rows.lines
        column = {name: table.column(name).combine_chunks() for name in _BOOKS.names}
        authors = pc.struct_field(_first_of_each(column["authors"]), _AUTHOR_ID)
        found = {
            schema.ITEM: whole_numbers(column["book_id"], "book_id", file, lines),
            _AUTHOR_ID: whole_numbers(pc.fill_null(authors, "0"), _AUTHOR_ID, file, lines),
            PAGES: _pages(column["num_pages"]),
            AVERAGE_RATING: _tenths(column["average_rating"]),
            SERIES: _or_unknown(_first_of_each(column["series"])),
        }
        found |= {ours: _or_unknown(column[theirs]) for theirs, ours in _AS_THEY_ARE.items()}
        yield pa.table(found)


def _names(file: Path, authors: pa.Array) -> pa.Array:
    """The name of each author id."""
    return _or_unknown(_Wanted(authors).align(file, _authors).column(schema.AUTHOR))


def _authors(file: Path) -> Iterator[pa.Table]:
    for rows in read_json_lines(file, _AUTHORS):
        ids, names = (rows.table.column(name).combine_chunks() for name in _AUTHORS.names)
        numbers = whole_numbers(ids, _AUTHOR_ID, file, rows.lines)
        yield pa.table({schema.ITEM: numbers, schema.AUTHOR: names})


def _genres(file: Path) -> Iterator[pa.Table]:
    """Genres by how many shelves name them; those named equally often in the file's order."""
    objects = read_objects(file)
    while batch := list(islice(objects, _OBJECTS_AT_ONCE)):
        lines = np.array([line for line, _ in batch])
        ids = pa.array([_book_id(found, file, line) for line, found in batch])
        genres = [_by_count(found.get("genres"), file, line) for line, found in batch]
        yield pa.table(
            {
                schema.ITEM: whole_numbers(ids, "book_id", file, lines),
                schema.GENRE: pa.array([names[0] if names else None for names in genres], _TEXT),
                schema.GENRES: pa.array(["|".join(names) for names in genres], _TEXT),
            }
        )


def _book_id(found: dict[str, Any], file: Path, line: int) -> str:
    book = found.get("book_id")
    if isinstance(book, str):
        return book
    raise _misfit(file, line, "book_id is missing or no text")


def _by_count(genres: object, file: Path, line: int) -> list[str]:
    if not isinstance(genres, dict):
        raise _misfit(file, line, "genres is missing or no object")
    if not all(type(count) in (int, float) for count in genres.values()):
        raise _misfit(file, line, "the count of a genre is no number")
    return sorted(genres, key=lambda name: -genres[name])


def _misfit(file: Path, line: int, problem: str) -> RecloraError:
    return RecloraError(
        problem,
        where=f"{file}:{line}",
        hint='Expected {"book_id": "12345", "genres": {"poetry": 7, ...}}.',
    )


def _first_of_each(lists: pa.ListArray) -> pa.Array:
    """The first element of each list, null where there is none."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    return lists.values.take(pa.array(lists.offsets.to_numpy()[:-1], mask=lengths == 0))


def _or_unknown(texts: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(texts, ""))
    return pc.if_else(pc.equal(trimmed, ""), UNKNOWN, trimmed)


def _pages(texts: pa.Array) -> pa.Array:
    numbers = _numbers(texts)
    at = np.searchsorted(_PAGES_FROM, np.nan_to_num(numbers), side="right") - 1
    return pc.fill_null(_PAGE_CLASSES.take(pa.array(at, mask=~(numbers > 0))), UNKNOWN)


def _tenths(texts: pa.Array) -> pa.Array:
    numbers = _numbers(texts)
    known = numbers > 0
    tenths = np.char.mod("%.1f", np.where(known, numbers, 0.0))
    return pc.if_else(pa.array(known), pa.array(tenths), UNKNOWN)


def _numbers(texts: pa.Array) -> NDArray[np.float64]:
    """What is written in digits; NaN for anything else."""
    is_number = pc.fill_null(pc.match_substring_regex(texts, _DECIMAL), False)
    numbers = pc.if_else(is_number, texts, pa.scalar(None, _TEXT)).cast(pa.float64())
    values: NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False)
    return values

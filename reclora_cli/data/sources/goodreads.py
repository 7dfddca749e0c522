"""GoodReads (UCSD Book Graph): 228,648,342 interactions of 876,145 users with 2,360,655 books,
collected in late 2017, and its subsets by genre.

Each line of the interactions is a book on a user's shelf. Rating 0 means none was given: such a
line says nothing about liking and is left out (and counted). What is left is reduced to its
5-core (``data.core``), as the RecLoRA paper does.

**Time** is ``date_added``, when the book came onto the user's shelves. It is the only time that
every line has and that a later edit does not move: ``read_at`` and ``started_at`` are often empty
and entered by hand (some are out of any range), ``date_updated`` moves with any edit. Its
weakness: a book may be added as "to read" and rated much later, so a rating in a history may have
been given after the row that reads it. No field of the data tells when a rating was given.

**Fields**, 15: the user's id; the book's twelve (see ``goodreads_books``); history id and history
rating. The paper counts 15 but does not name them.

Table 1 of the paper counts 449,114 users, 1,432,348 books, 20,122,040 samples and 5,787,895
features. That row has not been verified here: it needs the raw files.

Wan and McAuley, Item Recommendation on Monotonic Behavior Chains, RecSys 2018; Wan, Misra,
Nakashole and McAuley, Fine-Grained Spoiler Detection from Large-Scale Review Corpora, ACL 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.reading.json_lines import JsonRows, read_json_lines
from reclora_cli.data.reading.json_problem import shown
from reclora_cli.data.reading.ruby_dates import seconds_of
from reclora_cli.data.sources.base import Chunk, FilesAddress, Ids, RawDataset, Source
from reclora_cli.data.sources.goodreads_books import (
    BOOK_FIELDS,
    BookFiles,
    read_books,
    whole_numbers,
)
from reclora_cli.errors import RecloraError

AUTHORS = "goodreads_book_authors.json.gz"
GENRES = "goodreads_book_genres_initial.json.gz"
STARS = (1.0, 2.0, 3.0, 4.0, 5.0)
WITHOUT_RATING = "without rating"

_LATEST = 4_102_444_800  # the year 2100
_TEXT = pa.string()
_INTERACTIONS = pa.schema(
    [
        pa.field("user_id", _TEXT, nullable=False),
        pa.field("book_id", _TEXT, nullable=False),
        pa.field("rating", pa.int64(), nullable=False),
        pa.field("date_added", _TEXT, nullable=False),
    ]
)


class _Interactions:
    """The rated lines of an interactions file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._unrated = 0

    def left_out(self) -> Mapping[str, int]:
        return {WITHOUT_RATING: self._unrated}

    def chunks(self) -> Iterator[Chunk]:
        self._unrated = 0
        for rows in read_json_lines(self._file, _INTERACTIONS):
            rated = rows.table.column("rating").to_numpy() != 0
            self._unrated += int(np.count_nonzero(~rated))
            if rated.any():
                yield self._chunk(JsonRows(rows.table.filter(pa.array(rated)), rows.lines[rated]))

    def _chunk(self, rated: JsonRows) -> Chunk:
        users, books, ratings, dates = (
            column.combine_chunks() for column in rated.table.select(_INTERACTIONS.names).columns
        )
        return Chunk(
            users=users,
            items=pa.array(whole_numbers(books, "book_id", self._file, rated.lines)),
            ratings=ratings.to_numpy().astype(np.float64),
            times=self._seconds(dates, rated),
            file=self._file,
            lines=rated.lines,
        )

    def _seconds(self, dates: pa.Array, rated: JsonRows) -> NDArray[np.int64]:
        seconds, good = seconds_of(dates)
        good &= (seconds > 0) & (seconds < _LATEST)
        if not good.all():
            at = int(np.argmin(good))
            raise RecloraError(
                f"date_added {shown(dates[at].as_py())} is no date between 1970 and 2100",
                where=f"{self._file}:{rated.lines[at]}",
                hint="Expected the form 'Mon Aug 10 22:28:14 -0700 2009'.",
            )
        return seconds


def _users(ids: Ids) -> pd.DataFrame:
    return pd.DataFrame({schema.USER: ids.to_pandas()})


def _source(name: str, label: str, genre: str = "") -> Source:
    """The whole graph, or the subset of one genre: same schema, other files."""
    ending = f"_{genre}.json.gz" if genre else ".json.gz"
    interactions = f"goodreads_interactions{ending if genre else '_dedup.json.gz'}"
    books = f"goodreads_books{ending}"

    def read(folder: Path) -> RawDataset:
        rated = _Interactions(folder / interactions)
        described = BookFiles(folder / books, folder / GENRES, folder / AUTHORS)
        return RawDataset(
            interactions=rated.chunks,
            users=_users,
            items=lambda ids: read_books(described, ids),
            left_out=rated.left_out,
        )

    return Source(
        name=name,
        label=label,
        noun="book",
        terms=(
            "GoodReads data (UCSD Book Graph) are for academic use only: they may not be "
            "redistributed or used commercially. Cite Wan and McAuley (RecSys 2018) and Wan, "
            "Misra, Nakashole and McAuley (ACL 2019)."
        ),
        terms_url="https://cseweb.ucsd.edu/~jmcauley/datasets/goodreads.html",
        user_fields=(schema.USER,),
        item_fields=BOOK_FIELDS,
        rating_values=STARS,
        files={interactions: (), books: (), GENRES: (), AUTHORS: ()},
        addresses=(
            FilesAddress(
                "https://mcauleylab.ucsd.edu/public_datasets/gdrive/goodreads/",
                folders={interactions: "byGenre", books: "byGenre"} if genre else {},
            ),
        ),
        read=read,
        undescribed="drop",
    )


WHOLE = _source("goodreads", "GoodReads")
CHILDREN = _source("goodreads-children", "GoodReads, children's books", "children")
COMICS = _source("goodreads-comics-graphic", "GoodReads, comics", "comics_graphic")
FANTASY = _source("goodreads-fantasy-paranormal", "GoodReads, fantasy", "fantasy_paranormal")
HISTORY = _source("goodreads-history-biography", "GoodReads, history", "history_biography")
MYSTERY = _source("goodreads-mystery-thriller-crime", "GoodReads, crime", "mystery_thriller_crime")
POETRY = _source("goodreads-poetry", "GoodReads, poetry", "poetry")
ROMANCE = _source("goodreads-romance", "GoodReads, romance", "romance")
YOUNG_ADULT = _source("goodreads-young-adult", "GoodReads, young adults' books", "young_adult")

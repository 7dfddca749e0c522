"""MovieLens as CSV: ml-25m, and ml-20m, ml-latest and ml-latest-small, which share its form.

25,000,095 ratings of 59,047 movies by 162,541 users, 1995 to 2019, half stars from 0.5 to 5. All of
them are kept, as Table 1 of the RecLoRA paper counts them. There are no profiles; a movie's fields
are its id, title and first genre.

Harper and Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.reading.csv_table import csv_tables
from reclora_cli.data.reading.values import numbers, require_all, require_times
from reclora_cli.data.sources import movielens
from reclora_cli.data.sources.base import Chunk, Ids, RawDataset, Source, ZipAddress
from reclora_cli.errors import RecloraError

RATINGS, MOVIES = "ratings.csv", "movies.csv"
HALF_STARS = tuple(half / 2 for half in range(1, 11))

_RATING_COLUMNS = {
    "userId": pa.int64(),
    "movieId": pa.int64(),
    "rating": pa.float64(),
    "timestamp": pa.int64(),
}
_MOVIE_COLUMNS = {"movieId": pa.int64(), "title": pa.string(), "genres": pa.string()}


def read(folder: Path) -> RawDataset:
    """``ratings.csv`` in a stream, ``movies.csv`` whole.

    Raises:
        MissingInputError: one of them is not in ``folder``.
        RecloraError: one of them has a line that does not fit; file and line are named.
    """
    movies = _movies(folder / MOVIES)
    return RawDataset(
        interactions=lambda: _interactions(folder / RATINGS, movies),
        users=lambda ids: pd.DataFrame({schema.USER: ids.to_pandas()}),
        items=lambda ids: movies[movies[schema.ITEM].isin(ids.to_pandas())],
    )


def _interactions(file: Path, movies: pd.DataFrame) -> Iterator[Chunk]:
    known = pa.array(movies[schema.ITEM])
    for line, table in csv_tables(file, _RATING_COLUMNS):
        whole = table.combine_chunks()
        lines = np.arange(line, line + len(whole))
        where = partial(_place, file, lines)
        users, items, ratings, times = (
            require_all(whole.column(name).combine_chunks(), name, where)
            for name in _RATING_COLUMNS
        )
        chunk = Chunk(
            users,
            items,
            numbers(ratings, "rating", where),
            require_times(times.to_numpy(), "timestamp", where),
            file,
            lines,
        )
        _require_known(chunk, items, known)
        yield chunk


def _place(file: Path, lines: NDArray[np.int64], at: int) -> str:
    return f"{file}:{lines[at]}"


def _require_known(chunk: Chunk, items: Ids, known: Ids) -> None:
    strange = np.flatnonzero(~pc.is_in(items, known).to_numpy(zero_copy_only=False))
    if len(strange):
        at = int(strange[0])
        raise RecloraError(
            f"movieId {items[at].as_py()} is not in {MOVIES}",
            where=chunk.where(at),
            hint="Fetch the files again: they do not belong together.",
        )


def _movies(file: Path) -> pd.DataFrame:
    table = pa.concat_tables([table for _, table in csv_tables(file, _MOVIE_COLUMNS)])
    genres = table.column("genres").to_pandas().str.split("|")
    movies = pd.DataFrame(
        {
            schema.ITEM: table.column("movieId").to_pandas(),
            schema.TITLE: table.column("title").to_pandas().str.strip(),
            schema.GENRE: genres.str[0],
            schema.GENRES: genres,
        }
    )
    movielens.check_unique(movies, schema.ITEM, file)
    return movies


_LATEST_TERMS = (
    "MovieLens data may be used for research; acknowledge it in publications. It may be "
    "redistributed under these same conditions only, and not be used for commercial or "
    "revenue-bearing purposes without permission of GroupLens, University of Minnesota."
)


def _source(name: str, label: str, terms: str = movielens.TERMS) -> Source:
    return Source(
        name=name,
        label=label,
        noun="movie",
        terms=terms,
        terms_url=f"https://files.grouplens.org/datasets/movielens/{name}-README.html",
        user_fields=(schema.USER,),
        item_fields=movielens.ITEM_FIELDS,
        rating_values=HALF_STARS,
        files={RATINGS: (), MOVIES: ()},
        addresses=(ZipAddress(f"https://files.grouplens.org/datasets/movielens/{name}.zip"),),
        read=read,
    )


ML_25M = _source("ml-25m", "MovieLens 25M")
ML_20M = _source("ml-20m", "MovieLens 20M")
ML_LATEST = _source("ml-latest", "MovieLens Latest", _LATEST_TERMS)
ML_LATEST_SMALL = _source("ml-latest-small", "MovieLens Latest Small", _LATEST_TERMS)

"""ratings.csv and movies.csv in GroupLens' format at any size, with MovieLens-25M's shape.

At 25,000,095 ratings: 162,541 users of 20 to 32,202 ratings each (log-normal), 59,047 rated movies
of 62,423 with a long tail (Zipf-Mandelbrot of exponent 2.2, near ML-25M's top and median),
58,958 distinct titles among the rated ones, ratings as often as in ML-25M, 20 genres. Smaller sizes
have users in proportion and movies by the square root. Counts come out exactly, a user rates a
movie once, and the same seed gives the same bytes. Nothing of it is real: it measures, no more.

    python tests/benchmarks/generate_movielens.py FOLDER --ratings 1000000
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

Ints = NDArray[np.int64]

FULL = 25_000_095
NO_GENRE = "(no genres listed)"
# fmt: off
GENRES = (
    "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "IMAX", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western", NO_GENRE,
)
# fmt: on
_NAMES = (
    "Toy Story",
    "American President, The",
    "Schindler's List",
    "Cité des enfants perdus, La",
    '"Great Performances" Cats',
    "Heat",
    "Good, the Bad and the Ugly, The",
)
_RATING_SHARES = (1.6, 3.1, 1.6, 6.6, 5.1, 19.6, 12.7, 26.6, 8.8, 14.3)
"""Per cent of 0.5, 1.0, ..., 5.0 in ML-25M."""

_FEWEST, _MOST = 20, 32_202
_FIRST_SECOND, _LAST_SECOND = 789_652_009, 1_560_000_000
_RATINGS_AT_ONCE = 1_000_000
_CROWDED = 16
"""A user who rates more than one in so many movies is drawn by sorting all movies."""


@dataclass(frozen=True)
class Shape:
    """How much there is of everything.

    Attributes:
        items: movies that are rated, of ``movies`` that are listed.
        titles: distinct ones among the rated.
    """

    ratings: int
    users: int
    items: int
    movies: int
    titles: int

    @classmethod
    def of(cls, ratings: int, users: int | None = None, items: int | None = None) -> Shape:
        """ML-25M's proportions for so many ratings."""
        share = ratings / FULL
        users = users or max(min(round(162_541 * share), ratings // _FEWEST), 1)
        items = items or min(round(59_047 * share**0.5), ratings)
        return cls(
            ratings=ratings,
            users=users,
            items=items,
            movies=items + round(items * 3_376 / 59_047),
            titles=items - round(items * 89 / 59_047),
        )


def write_movielens(folder: Path, shape: Shape, seed: int = 0) -> None:
    """Write both files into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    ids = 1 + np.sort(rng.choice(shape.movies * 10 // 3, shape.movies, replace=False))
    rated = np.sort(rng.choice(shape.movies, shape.items, replace=False))
    _write_movies(folder / "movies.csv", ids, rated, shape, rng)
    with (folder / "ratings.csv").open("wb") as file:
        file.write(b"userId,movieId,rating,timestamp\n")
        for table in _ratings(ids[rated], shape, seed, rng):
            options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
            pyarrow.csv.write_csv(table, file, options)


def _write_movies(
    file: Path, ids: Ints, rated: Ints, shape: Shape, rng: np.random.Generator
) -> None:
    number = np.arange(shape.movies)
    # The last rated movies take the titles of the first: remakes of one year.
    repeated = shape.items - shape.titles
    if repeated:
        number[rated[-repeated:]] = number[rated[:repeated]]
    titles = [f"{_NAMES[at % len(_NAMES)]} {at} ({1920 + at % 100})" for at in number.tolist()]
    first = np.arange(shape.movies) % len(GENRES)
    second = rng.integers(0, len(GENRES) - 1, shape.movies)
    genres = [
        GENRES[a] if a >= b or GENRES[a] == NO_GENRE else f"{GENRES[a]}|{GENRES[b]}"
        for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]
    with file.open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened, lineterminator="\n")
        rows.writerow(("movieId", "title", "genres"))
        rows.writerows(zip(ids.tolist(), titles, genres, strict=True))


def _ratings(ids: Ints, shape: Shape, seed: int, rng: np.random.Generator) -> Iterator[pa.Table]:
    """Ratings of a few users at a time, by user and then by movie, as GroupLens writes them."""
    counts = user_counts(shape, rng)
    ends = np.cumsum(counts)
    drawing = _Drawing(shape.items, rng)
    first_user, first_item = _planted(ends, shape, rng)
    bounds = np.searchsorted(ends, np.arange(0, shape.ratings, _RATINGS_AT_ONCE), side="right")
    bounds = np.unique(np.append(bounds, shape.users))
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        part = slice(*np.searchsorted(first_user, [start, stop]))
        planted = (first_user[part] - start) * shape.items + first_item[part]
        stream = np.random.default_rng([seed, start])
        users, items = np.divmod(drawing.draw(counts[start:stop], planted, stream), shape.items)
        yield _table(start + users, ids[items], counts[start:stop], stream)


def user_counts(shape: Shape, rng: np.random.Generator) -> Ints:
    """Ratings of each user, (users,): at least 20 where there are enough, adding up exactly."""
    most = min(_MOST, max(shape.items * 55 // 100, 1))
    least = min(_FEWEST, shape.ratings // shape.users)
    if shape.users * most < shape.ratings:
        raise ValueError(f"{shape.users} users of {most} ratings at most: too few for the ratings")
    tail = rng.lognormal(0, 1.39, shape.users)
    largest = int(tail.argmax())

    def stretched(by: float) -> Ints:
        counts = np.minimum(least + np.floor(tail * by), most).astype(np.int64)
        counts[largest] = min(most, shape.ratings - least * (shape.users - 1))
        return counts

    low, high = 0.0, float(most) * shape.users
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if stretched(middle).sum() <= shape.ratings else (low, middle)
    counts = stretched(low)
    while lacking := shape.ratings - int(counts.sum()):
        room = np.flatnonzero(counts < most)
        counts[rng.permutation(room)[:lacking]] += 1
    return counts


def _planted(ends: Ints, shape: Shape, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """A user for each movie, so that every one of them is rated: users ascending, and movies."""
    places = rng.choice(shape.ratings, shape.items, replace=False)
    users = np.searchsorted(ends, places, side="right")
    order = np.argsort(users, kind="stable")
    return users[order], order


class _Drawing:
    """Distinct movies for users, popular ones more often."""

    def __init__(self, items: int, rng: np.random.Generator) -> None:
        rank = rng.permutation(items)
        self._weight = (rank + 220 * items / 59_047 + 1) ** -2.2
        cumulative = np.cumsum(self._weight)
        self._cumulative = cumulative / cumulative[-1]
        self._items = items

    def draw(self, counts: Ints, planted: Ints, rng: np.random.Generator) -> Ints:
        """Ascending keys ``user * items + item``, ``counts`` of each user, ``planted`` in them."""
        keys = np.sort(planted)
        crowded = np.flatnonzero(counts > self._items // _CROWDED)
        done = [self._crowded(int(user), int(counts[user]), keys, rng) for user in crowded]
        keys = keys[~np.isin(keys // self._items, crowded)]
        lacking = counts - np.bincount(keys // self._items, minlength=len(counts))
        lacking[crowded] = 0
        more = 0
        while lacking.any():
            new = self._some(lacking, lacking * more // 2 + more, keys, rng)
            lacking = lacking - np.bincount(new // self._items, minlength=len(counts))
            keys = np.sort(np.concatenate([keys, new]))
            unfinished = lacking[keys // self._items] > 0
            done.append(keys[~unfinished])
            keys, more = keys[unfinished], more + 1
        return np.sort(np.concatenate([keys, *done]))

    def _some(self, lacking: Ints, more: Ints, keys: Ints, rng: np.random.Generator) -> Ints:
        """New keys, at most ``lacking`` of each user, from ``more`` drawings than that."""
        users = np.repeat(np.arange(len(lacking)), np.where(lacking > 0, lacking + more, 0))
        items = np.searchsorted(self._cumulative, rng.random(len(users)), side="right")
        new = np.sort(users * self._items + np.minimum(items, self._items - 1))
        new = new[np.diff(new, prepend=-1) > 0]
        if len(keys):
            places = np.minimum(np.searchsorted(keys, new), len(keys) - 1)
            new = new[keys[places] != new]
        user = new // self._items
        order = np.argsort(user + rng.random(len(new)))
        number = np.arange(len(new)) - np.searchsorted(user, user)
        return new[order[number < lacking[user]]]

    def _crowded(self, user: int, count: int, planted: Ints, rng: np.random.Generator) -> Ints:
        """Weighted drawing without putting back: the least exponential waiting times."""
        waiting = rng.exponential(size=self._items) / self._weight
        own = planted[planted // self._items == user] % self._items
        waiting[own] = -1
        return user * self._items + np.argpartition(waiting, count - 1)[:count]


def _table(users: Ints, movies: Ints, counts: Ints, rng: np.random.Generator) -> pa.Table:
    """Times lie within a few sessions of each user, so that some share a second."""
    n = len(users)
    shares = np.cumsum(_RATING_SHARES) / sum(_RATING_SHARES)
    stars = np.searchsorted(shares, np.arange(65_536) / 65_536, side="right").astype(np.int8)
    ratings = stars[rng.integers(0, 65_536, n, dtype=np.uint16)]
    begin = rng.integers(_FIRST_SECOND, _LAST_SECOND, len(counts))
    span = counts * rng.lognormal(2.5, 1.5, len(counts))
    seconds = np.repeat(begin, counts) + (rng.random(n) * np.repeat(span, counts)).astype(np.int64)
    texts = pa.array([f"{half / 2:.1f}" for half in range(1, 11)])
    columns: dict[str, Any] = {
        "userId": 1 + users,
        "movieId": movies,
        "rating": pa.DictionaryArray.from_arrays(pa.array(ratings), texts).cast(pa.string()),
        "timestamp": seconds,
    }
    return pa.table(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ratings", type=int, default=FULL)
    parser.add_argument("--users", type=int)
    parser.add_argument("--items", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shape = Shape.of(given.ratings, given.users, given.items)
    start = time.perf_counter()
    write_movielens(given.folder, shape, given.seed)
    seconds = time.perf_counter() - start
    size = (given.folder / "ratings.csv").stat().st_size
    print(
        f"{shape.ratings:,} ratings of {shape.users:,} users and {shape.items:,} movies, "
        f"{size / 1e6:,.0f} MB, in {seconds:.1f} s: {shape.ratings / seconds:,.0f} lines/s"
    )


if __name__ == "__main__":
    main()

"""Files in the form of the UCSD Book Graph (GoodReads), at any size, the same for the same seed.

    python -m tests.benchmarks.generate_goodreads FOLDER --interactions 2000000

Nothing in them is real. Their form is: names and order of the fields, ids of 32 hex digits, dates,
about 400 bytes for each interaction and 3 kB for each book, a user's lines in one stretch, ratings
of 0 (none given) on 45 % of the lines, long tails of users and books, titles that several books
share, publishers that are missing, several authors to a book, gzip. 500,000 interactions and their
36,000 books take about 3 seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tests.benchmarks.generate_books import books
from tests.benchmarks.goodreads_lines import (
    DAYS,
    WORDS,
    Ints,
    Part,
    dates,
    hex_ids,
    joined,
    lines_of,
    text,
    write_lines,
)
from tests.benchmarks.goodreads_shape import Shape

GENRES = (
    "children",
    "comics, graphic",
    "fantasy, paranormal",
    "fiction",
    "history, historical fiction, biography",
    "mystery, thriller, crime",
    "non-fiction",
    "poetry",
    "romance",
    "young-adult",
)
UNRATED = 0.45
_LINES_AT_ONCE = 100_000
_FIRST_NAMES = ["Ada", "Bj\\u00f6rn", "Chidi", "Dolores", "Emil", "Fatima", "Grace", "Hiro"]


def write_goodreads(folder: Path, shape: Shape) -> dict[str, Path]:
    """Write interactions, books, genres and authors into ``folder``.

    Returns:
        The file of each of these four words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ending = f"_{shape.genre}.json.gz" if shape.genre else ".json.gz"
    dedup = ending if shape.genre else "_dedup.json.gz"
    files = {
        "interactions": folder / f"goodreads_interactions{dedup}",
        "books": folder / f"goodreads_books{ending}",
        "genres": folder / "goodreads_book_genres_initial.json.gz",
        "authors": folder / "goodreads_book_authors.json.gz",
    }
    write_lines(files["interactions"], interactions(shape))
    write_lines(files["books"], books(shape))
    write_lines(files["genres"], genres(shape))
    write_lines(files["authors"], authors(shape))
    return files


def interactions(shape: Shape) -> Iterator[bytes]:
    """Lines of the interactions file, a chunk at a time."""
    random = shape.random(4)
    ids = hex_ids(shape.random(5), shape.users)
    ends = np.cumsum(_activity(shape))
    since = random.integers(0, DAYS - 30, shape.users)
    taste = random.normal(3.9, 0.4, shape.users)
    for start in range(0, shape.interactions, _LINES_AT_ONCE):
        stop = min(start + _LINES_AT_ONCE, shape.interactions)
        users = np.searchsorted(ends, np.arange(start, stop), side="right")
        yield lines_of(_interaction_parts(shape, random, users, ids, since, taste))


def _interaction_parts(
    shape: Shape,
    random: np.random.Generator,
    users: Ints,
    ids: pa.Array,
    since: Ints,
    taste: NDArray[np.float64],
) -> list[Part]:
    n = len(users)
    books = shape.book_ids[_draw(random, shape, users)]
    rated = random.random(n) >= UNRATED
    stars = np.clip(np.rint(random.normal(taste[users], 0.9)), 1, 5).astype(np.int64)
    is_read = rated | (random.random(n) < 0.1)
    added = since[users] + (random.random(n) * (DAYS - since[users])).astype(np.int64)
    updated = np.minimum(added + random.integers(0, 60, n), DAYS - 1)
    read = dates(random, np.maximum(added - random.integers(0, 400, n), 0))
    review = _snippets().take(pa.array(random.integers(0, len(WORDS), n)))
    return [
        '{"user_id": "',
        ids.take(pa.array(users)),
        '", "book_id": "',
        text(books),
        '", "review_id": "',
        hex_ids(random, n),
        '", "is_read": ',
        pc.if_else(pa.array(is_read), "true", "false"),
        ', "rating": ',
        text(np.where(rated, stars, 0)),
        ', "review_text_incomplete": "',
        pc.if_else(pa.array(rated & (random.random(n) < 0.14)), review, ""),
        '", "date_added": "',
        dates(random, added),
        '", "date_updated": "',
        dates(random, updated),
        '", "read_at": "',
        pc.if_else(pa.array(rated & (random.random(n) < 0.6)), read, ""),
        '", "started_at": "',
        pc.if_else(pa.array(rated & (random.random(n) < 0.3)), read, ""),
        '"}\n',
    ]


def _activity(shape: Shape) -> Ints:
    """(users,) lines of each user: log-normal, at least one, adding up to all of them."""
    weight = shape.random(6).lognormal(0.0, 1.3, shape.users)
    spare = shape.interactions - shape.users
    assert spare >= 0, "each user has at least one line"
    share = np.floor(np.cumsum(weight) / weight.sum() * spare).astype(np.int64)
    share[-1] = spare
    return 1 + np.diff(share, prepend=0)


def _draw(random: np.random.Generator, shape: Shape, users: Ints) -> Ints:
    """A book for each line; where a user would have one twice, any other book."""
    books = np.minimum(
        np.searchsorted(shape.popularity, random.random(len(users))), shape.books - 1
    )
    pairs = users * shape.books + books
    order = np.argsort(pairs, kind="stable")
    again = order[1:][np.diff(pairs[order]) == 0]
    books[again] = random.integers(0, shape.books, len(again))
    return books


def genres(shape: Shape) -> Iterator[bytes]:
    """Lines of the genres file: one to three genres a book, none for one in ten."""
    random = shape.random(8)
    names = [f'"{name}": ' for name in GENRES]
    for start in range(0, shape.books, _LINES_AT_ONCE):
        ids = shape.book_ids[start : start + _LINES_AT_ONCE]
        n = len(ids)
        first = random.integers(0, len(names), n)
        second = (first + random.integers(1, len(names), n)) % len(names)
        one, two = (
            joined([pa.array(names).take(pa.array(at)), text(random.integers(1, 5000, n))])
            for at in (first, second)
        )
        count = random.random(n)
        more = pc.if_else(pa.array(count > 0.5), joined([", ", two]), "")
        held = pc.if_else(pa.array(count > 0.1), joined([one, more]), "")
        yield lines_of(['{"book_id": "', text(ids), '", "genres": {', held, "}}\n"])


def authors(shape: Shape) -> Iterator[bytes]:
    """Lines of the authors file."""
    random = shape.random(9)
    for start in range(0, shape.authors, _LINES_AT_ONCE):
        ids = shape.author_ids[start : start + _LINES_AT_ONCE]
        n = len(ids)
        yield lines_of(
            [
                '{"average_rating": "',
                pa.array(np.char.mod("%.2f", random.normal(3.9, 0.3, n))),
                '", "author_id": "',
                text(ids),
                '", "text_reviews_count": "',
                text(random.integers(0, 9000, n)),
                '", "name": "',
                pa.array(_FIRST_NAMES).take(pa.array(random.integers(0, len(_FIRST_NAMES), n))),
                " Writer",
                text(np.arange(start, start + n)),
                '", "ratings_count": "',
                text(random.integers(0, 90_000, n)),
                '"}\n',
            ]
        )


def _snippets() -> pa.Array:
    return pa.array([f"{word} kept me up all night. " * (8 + at) for at, word in enumerate(WORDS)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--interactions", type=int, default=2_000_000)
    parser.add_argument("--books", type=int, help="default: in proportion, at most 1,432,348")
    parser.add_argument("--genre", default="", help="of a subset, e.g. poetry")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shape = Shape.of(given.interactions, given.seed, given.genre)
    if given.books:
        shape = replace(shape, books=given.books, authors=max(5, given.books // 3))
    for name, file in write_goodreads(given.folder, shape).items():
        print(f"{name:>12}  {file.stat().st_size / 1e6:10,.1f} MB  {file}")


if __name__ == "__main__":
    main()

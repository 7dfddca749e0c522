"""Made-up lines of goodreads_books.json.gz: about 3 kB each, as in the original."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.benchmarks.goodreads_lines import WORDS, Ints, Part, joined, lines_of, text
from tests.benchmarks.goodreads_shape import Shape

_BOOKS_AT_ONCE = 10_000


def books(shape: Shape) -> Iterator[bytes]:
    """Lines of the books file, a chunk at a time."""
    random = shape.random(7)
    for start in range(0, shape.books, _BOOKS_AT_ONCE):
        numbers = np.arange(start, min(start + _BOOKS_AT_ONCE, shape.books))
        yield lines_of(_book_parts(shape, random, numbers))


def _book_parts(shape: Shape, random: np.random.Generator, numbers: Ints) -> list[Part]:
    n = len(numbers)

    def one_of(pool: list[str], missing: float = 0.0) -> pa.Array:
        drawn = pa.array(pool).take(pa.array(random.integers(0, len(pool), n)))
        return pc.if_else(pa.array(random.random(n) < missing), "", drawn)

    def upto(most: int, missing: float = 0.0) -> pa.Array:
        drawn = text(random.integers(1, most, n))
        return pc.if_else(pa.array(random.random(n) < missing), "", drawn)

    title = _titles(random, numbers)
    publisher = np.minimum(random.zipf(1.3, n), 40_000)
    ids = text(shape.book_ids[numbers])
    second = pa.array(random.random(n) < 0.2)
    other = joined([', {"author_id": "', shape.some_author(random, n), '", "role": "Illustrator"}'])
    named: dict[str, list[Part]] = {
        "isbn": ['"', upto(10**9, 0.4), '"'],
        "text_reviews_count": ['"', upto(3000), '"'],
        "series": ["[", pc.if_else(second, joined(['"', upto(400_000), '"']), ""), "]"],
        "country_code": ['"US"'],
        "language_code": ['"', one_of(["eng", "eng", "eng", "en-US", "spa", "ger"], 0.4), '"'],
        "popular_shelves": [one_of(_shelves())],
        "asin": ['"', one_of(["B0064GUQEM", "B00BW0WK5C"], 0.8), '"'],
        "is_ebook": ['"', one_of(["true", "false", "false", "false"]), '"'],
        "average_rating": ['"', pa.array(np.char.mod("%.2f", random.normal(3.9, 0.3, n))), '"'],
        "kindle_asin": ['""'],
        "similar_books": ["[", one_of(_similar()), "]"],
        "description": ['"', one_of(_descriptions()), '"'],
        "format": ['"', one_of(["Paperback", "Hardcover", "ebook", "Audio CD"], 0.25), '"'],
        "link": ['"https://www.goodreads.com/book/show/', ids, '"'],
        "authors": [
            '[{"author_id": "',
            shape.some_author(random, n),
            '", "role": ""}',
            pc.if_else(second, other, ""),
            "]",
        ],
        "publisher": [
            '"',
            pc.if_else(
                pa.array(random.random(n) < 0.25),
                "",
                joined(["Imprint ", text(publisher), " \\u0026 Sons"]),
            ),
            '"',
        ],
        "num_pages": ['"', upto(1200, 0.3), '"'],
        "publication_day": ['"', upto(29, 0.4), '"'],
        "isbn13": ['"', upto(10**13, 0.3), '"'],
        "publication_month": ['"', upto(13, 0.3), '"'],
        "edition_information": ['""'],
        "publication_year": ['"', one_of([str(y) for y in range(1950, 2018)], 0.25), '"'],
        "url": ['"https://www.goodreads.com/book/show/', ids, '"'],
        "image_url": ['"https://images.gr-assets.com/books/1310220028m/', ids, '.jpg"'],
        "book_id": ['"', ids, '"'],
        "ratings_count": ['"', upto(30_000), '"'],
        "work_id": ['"', text(1 + numbers // 3), '"'],
        "title": ['"', title, '"'],
        "title_without_series": ['"', title, '"'],
    }
    parts: list[Part] = []
    for at, (name, value) in enumerate(named.items()):
        parts += [f'{", " if at else "{"}"{name}": ', *value]
    return [*parts, "}\n"]


def _titles(random: np.random.Generator, numbers: Ints) -> pa.Array:
    """A fifth of the books have the title of another; one in a thousand has none."""
    again = random.random(len(numbers)) < 0.2
    of = np.where(again, random.integers(0, int(numbers[-1]) + 1, len(numbers)), numbers)
    words = len(WORDS)
    pools = [pa.array(WORDS).take(pa.array(of // words**place % words)) for place in range(4)]
    title = joined(["The ", pools[0], " ", pools[1], " of ", pools[2], " and the ", pools[3]])
    return pc.if_else(pa.array(random.random(len(numbers)) < 0.001), "", title)


def _descriptions() -> list[str]:
    return [
        f'A novel of {word}, \\"told\\" in letters.\\n' * (20 + at) for at, word in enumerate(WORDS)
    ]


def _shelves() -> list[str]:
    return [
        "["
        + ", ".join(
            f'{{"count": "{97 * at + k}", "name": "{word.lower()}-{k}"}}' for k in range(30)
        )
        + "]"
        for at, word in enumerate(WORDS)
    ]


def _similar() -> list[str]:
    return [
        ", ".join(f'"{(at + 1) * 7919 * (k + 1)}"' for k in range(12)) for at, _ in enumerate(WORDS)
    ]

"""GoodReads: what is read of its four files, and what is said of lines that do not fit."""

from __future__ import annotations

import contextlib
import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli.data.sources import goodreads
from reclora_cli.data.sources.goodreads_books import BOOK_FIELDS
from reclora_cli.errors import RecloraError
from tests.benchmarks.generate_goodreads import write_goodreads
from tests.benchmarks.goodreads_shape import Shape

DATE = "Mon Aug 10 22:28:14 -0700 2009"
USER = "8842281e1d1347389f2ab93d60773d4d"


def _interaction(**changed: Any) -> dict[str, Any]:
    return {
        "user_id": USER,
        "book_id": "130580",
        "review_id": "330f9c153c8d3347eb914c06b89c94da",
        "is_read": True,
        "rating": 4,
        "review_text_incomplete": "",
        "date_added": DATE,
        "date_updated": DATE,
        "read_at": "Fri Jan 01 00:00:00 -0800 0200",
        "started_at": "",
        **changed,
    }


def _book(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "isbn": "",
        "series": ["189911", "5"],
        "language_code": "eng",
        "popular_shelves": [{"count": "2979", "name": "to-read"}],
        "average_rating": "4.03",
        "similar_books": [],
        "format": "Hardcover",
        "authors": [{"author_id": "10333", "role": ""}, {"author_id": "9", "role": "Editor"}],
        "publisher": "Nelson Doubleday, Inc.",
        "num_pages": "600",
        "publication_year": "1987",
        "book_id": str(number),
        "work_id": "8948723",
        "title": "The Unschooled Wizard (Sun Wolf and Starhawk, #1-2)",
        **changed,
    }


def _write(file: Path, *objects: Any) -> None:
    lines = (each if isinstance(each, str) else json.dumps(each) for each in objects)
    file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three books, and one rating of one of them."""
    _write(tmp_path / "goodreads_interactions_dedup.json.gz", _interaction())
    bare = {"publisher": "", "publication_year": "", "num_pages": "", "average_rating": "0.00"}
    none = {"title": "", "authors": [], "series": [], "format": " ", "language_code": ""}
    _write(
        tmp_path / "goodreads_books.json.gz",
        _book(130580),
        _book(17, **bare, **none),
        _book(99, title="  Les Misérables ", num_pages="1463", authors=[{"author_id": "77"}]),
    )
    _write(
        tmp_path / "goodreads_book_genres_initial.json.gz",
        {"book_id": "99", "genres": {}},
        {"book_id": "130580", "genres": {"romance": 3, "fantasy, paranormal": 31, "poetry": 3}},
    )
    _write(
        tmp_path / "goodreads_book_authors.json.gz",
        {"average_rating": "3.98", "author_id": "10333", "name": "Barbara Hambly"},
    )
    return tmp_path


def _chunks(folder: Path, *lines: Any) -> tuple[list[Any], dict[str, int]]:
    if lines:
        _write(folder / "goodreads_interactions_dedup.json.gz", *lines)
    raw = goodreads.WHOLE.read(folder)
    return list(raw.interactions()), dict(raw.left_out())


def _items(folder: Path, *ids: int) -> pd.DataFrame:
    return goodreads.WHOLE.read(folder).items(pa.array(ids)).set_index("item_id")


# -- interactions ---------------------------------------------------------------------------------


def test_an_interaction_is_user_book_rating_and_date_added(folder: Path) -> None:
    (chunk,), left_out = _chunks(folder)
    assert chunk.users.to_pylist() == [USER]
    assert chunk.items.to_pylist() == [130580]
    assert chunk.ratings.tolist() == [4.0]
    assert chunk.times.tolist() == [1249968494]
    assert chunk.where(0).endswith("goodreads_interactions_dedup.json.gz:1")
    assert left_out == {"without rating": 0}


def test_rating_0_is_none_left_out_and_counted_anew_each_time(folder: Path) -> None:
    ratings = [0, 5, 0, 1, 0]
    chunks, left_out = _chunks(folder, *[_interaction(rating=rating) for rating in ratings])
    assert [rating for chunk in chunks for rating in chunk.ratings] == [5, 1]
    assert [line for chunk in chunks for line in chunk.lines] == [2, 4]
    assert left_out == {"without rating": 3}
    raw = goodreads.WHOLE.read(folder)
    for _ in range(2):
        list(raw.interactions())
        assert raw.left_out() == {"without rating": 3}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"date_added": ""}, 'date_added "" is no date between 1970 and 2100'),
        ({"date_added": "2009-08-10"}, 'date_added "2009-08-10" is no date'),
        ({"date_added": "Mon Feb 30 22:28:14 -0700 2009"}, "is no date"),
        ({"date_added": "Mon Aug 10 22:28:14 -0700 0209"}, "is no date"),
        ({"date_added": "Mon Aug 10 22:28:14 -0700 2109"}, "is no date"),
        ({"date_added": None}, "field date_added is null where text is expected"),
        ({"book_id": "x17"}, 'book_id "x17" is no whole number'),
        ({"book_id": 17}, "field book_id is 17 where text is expected"),
        ({"user_id": 17}, "field user_id is 17 where text is expected"),
        ({"rating": "5"}, 'field rating is "5" where a whole number is expected'),
        ({"rating": 4.5}, "field rating is 4.5 where a whole number is expected"),
        ({"rating": float("nan")}, "field rating is NaN where a whole number is expected"),
    ],
)
def test_interaction_that_does_not_fit_is_named_by_its_line(
    folder: Path, changed: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RecloraError) as caught:
        _chunks(folder, _interaction(), _interaction(rating=0), _interaction(**changed))
    assert problem in caught.value.what
    file = folder / "goodreads_interactions_dedup.json.gz"
    assert caught.value.where == f"{file}:3"


def test_missing_field_is_named_with_what_was_found(folder: Path) -> None:
    line = _interaction()
    del line["date_added"]
    with pytest.raises(RecloraError, match=r":1: field date_added is missing \(found user_id, b"):
        _chunks(folder, line)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_goodreads(folder, Shape(20, 3, 5, 2))
    return folder


ODD = st.sampled_from(
    [
        "1",
        "",
        "x",
        "\ud800",
        "\0",
        1,
        0,
        -1.5,
        float("nan"),
        None,
        True,
        [],
        ["2"],
        {},
        {"a": 1},
        DATE,
    ]
)
NAMES = st.sampled_from([*_interaction(), *_book(1), "genres", "author_id", "name"])
OBJECTS = st.lists(st.dictionaries(NAMES, ODD, max_size=20).map(json.dumps), max_size=3)


@given(content=st.binary(max_size=80) | OBJECTS.map(lambda lines: "\n".join(lines).encode()))
@pytest.mark.parametrize("name", [*goodreads.WHOLE.files])
def test_any_bytes_in_any_file_are_read_or_refused(
    made: Path, tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("goodreads")
    for other in made.iterdir():
        (folder / other.name).symlink_to(other)
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    raw = goodreads.WHOLE.read(folder)
    with contextlib.suppress(RecloraError):  # and nothing else
        list(raw.interactions())
        raw.items(pa.array([1, 2, 3]))


# -- books ----------------------------------------------------------------------------------------


def test_a_book_is_described_out_of_three_files(folder: Path) -> None:
    assert _items(folder, 130580).loc[130580].to_dict() == {
        "title": "The Unschooled Wizard (Sun Wolf and Starhawk, #1-2)",
        "author": "Barbara Hambly",
        "genre": "fantasy, paranormal",
        "genres": "fantasy, paranormal|romance|poetry",
        "publisher": "Nelson Doubleday, Inc.",
        "year": "1987",
        "language": "eng",
        "format": "Hardcover",
        "pages": "600-699",
        "average_rating": "4.0",
        "series": "189911",
        "work": "8948723",
    }


def test_what_is_missing_of_a_book_is_a_value_of_its_own(folder: Path) -> None:
    book = _items(folder, 17).loc[17].to_dict()
    assert {name for name, value in book.items() if value != "unknown"} == {"work"}


def test_author_and_genre_that_no_file_names_are_unknown(folder: Path) -> None:
    book = _items(folder, 99).loc[99]
    assert (book["author"], book["genre"], book["genres"]) == ("unknown",) * 3
    assert (book["title"], book["pages"]) == ("Les Misérables", "1000 or more")


def test_only_wanted_books_that_are_described_are_given_each_once(folder: Path) -> None:
    _write(folder / "goodreads_books.json.gz", _book(1, title="A"), _book(1, title="B"), _book(2))
    items = _items(folder, 5, 1)
    assert items["title"].to_dict() == {1: "A"}


@pytest.mark.parametrize(
    ("pages", "expected"),
    [("49", "under 50"), ("50", "50-99"), ("99", "50-99"), ("100", "100-199"), ("999", "900-999"),
     ("1000", "1000 or more"), ("0", "unknown"), ("-5", "unknown"), ("many", "unknown")],
)  # fmt: skip
def test_pages_fall_into_classes(folder: Path, pages: str, expected: str) -> None:
    _write(folder / "goodreads_books.json.gz", _book(1, num_pages=pages))
    assert _items(folder, 1).loc[1, "pages"] == expected


@pytest.mark.parametrize(
    ("name", "line", "problem"),
    [
        ("books", _book(1, title=5), "field title is 5 where text is expected"),
        ("books", _book(1, authors="x"), 'field authors is "x" where a list is expected'),
        ("books", _book(1, authors=[{"author_id": "x"}]), 'author_id "x" is no whole number'),
        ("books", {"title": "x"}, "field book_id is missing (found title)"),
        ("books", {"book_id": "1.5"}, 'book_id "1.5" is no whole number'),
        ("book_genres_initial", {"genres": {}}, "book_id is missing or no text"),
        ("book_genres_initial", {"book_id": "1"}, "genres is missing or no object"),
        ("book_genres_initial", {"book_id": "1", "genres": {"a": "b"}}, "count of a genre is no"),
        ("book_authors", {"author_id": "10333"}, "field name is missing (found author_id)"),
        ("book_authors", {"author_id": "A", "name": "x"}, 'author_id "A" is no whole number'),
    ],
)
def test_description_that_does_not_fit_is_named_by_its_line(
    folder: Path, name: str, line: dict[str, Any], problem: str
) -> None:
    file = folder / f"goodreads_{name}.json.gz"
    with file.open("ab") as out:  # one more member of the gzip file
        out.write(gzip.compress(f"\n{json.dumps(line)}\n".encode()))
    before = gzip.decompress(file.read_bytes()).count(b"\n") - 1
    with pytest.raises(RecloraError) as caught:
        _items(folder, 1, 130580)
    assert problem in caught.value.what
    assert caught.value.where == f"{file}:{before + 1}"


def test_fields_are_fifteen_with_those_of_a_behaviour() -> None:
    source = goodreads.WHOLE
    assert len(source.user_fields + source.item_fields) + 2 == 15
    assert len(set(BOOK_FIELDS)) == 12

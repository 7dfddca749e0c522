"""A recipe is guessed from a file well enough to begin with, and says what to check."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reclora_cli import recipe as recipes
from reclora_cli.data.guessing.sample import guess_dialect, take_sample
from reclora_cli.data.reading.csv_dialect import csv_lines
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.recipe.tables import FieldColumn, TablesRecipe
from reclora_cli.stages import init_recipe, prepare
from reclora_cli.workspace import Workspace
from tests.unit.own_data import ROWS, write_files


def _guessed(file: Path) -> tuple[recipes.Recipe, TablesRecipe, list[str]]:
    target = file.parent / "mine.yaml"
    result = init_recipe.run(file, target, force=True)
    found = recipes.load(target)
    assert found.data.tables is not None
    return found, found.data.tables, result.check


def _write(folder: Path, header: str, *rows: str, name: str = "log.csv") -> Path:
    file = folder / name
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def _rows(*forms: str, count: int = 40) -> list[str]:
    return [forms[at % len(forms)].format(at=at, user=at % 5, item=at % 7) for at in range(count)]


def test_a_guess_is_prepared_without_an_edit(tmp_path: Path):
    file = write_files(tmp_path)
    text = file.read_text().replace("reader,book,stars,read", "userId,bookId,stars,timestamp")
    file.write_text(text)
    recipe, tables, check = _guessed(file)
    interactions = tables.interactions
    assert (interactions.user, interactions.item) == ("userId", "bookId")
    assert interactions.rating.column == "stars"
    assert interactions.time
    assert interactions.time.format == "seconds"
    assert tables.items
    assert tables.items.file == str(tmp_path / "books.csv")
    assert tables.items.fields == {
        "title": "name",
        "author": "author",
        "year": FieldColumn(column="year", first_of="."),
    }
    assert tables.noun == "book"
    assert check == ["from which rating on is it a like? like_from is 4"]
    result = prepare.run(recipe, Workspace(tmp_path / "ws"))
    assert result.behaviours == len(ROWS)


@pytest.mark.parametrize(
    ("values", "like_from", "none"),
    [
        (["1", "3", "5"], 4.0, ()),
        (["0.5", "3.5", "5.0"], 3.5, ()),
        (["1", "7", "10"], 7.0, ()),
        (["0", "4", "5"], 4.0, (0.0,)),
        (["20", "60", "100"], 100.0, ()),
        (["1", "", "5"], 4.0, ("",)),
    ],
)
def test_the_scale_says_from_which_rating_on_it_is_a_like(
    tmp_path: Path, values: list[str], like_from: float, none: tuple
):
    rows = _rows(*(f"u{{user}},i{{item}},{value},{{at}}" for value in values))
    found, tables, _ = _guessed(_write(tmp_path, "user,item,rating,n", *rows))
    assert found.data.like_from == like_from
    assert tables.interactions.rating.none == none


def test_two_words_that_say_yes_and_no_are_labels(tmp_path: Path):
    rows = _rows("u{user},i{item},True", "u{user},i{item},False")
    found, tables, _ = _guessed(_write(tmp_path, "user_id,item_id,recommend", *rows))
    rating = tables.interactions.rating
    assert (rating.like, rating.dislike, found.data.like_from) == (("True",), ("False",), 1.0)
    assert tables.interactions.time is None


@pytest.mark.parametrize(
    ("said", "form"),
    [
        ("1600000{at:03}", "seconds"),
        ("1600000{at:03}000", "milliseconds"),
        ("2020-01-{at:02}", "%Y-%m-%d"),
        ("2020-01-02T03:04:{at:02}Z", "iso8601"),
        ("01/{at:02}/2020", "%m/%d/%Y"),
    ],
)
def test_the_format_of_times_is_recognised(tmp_path: Path, said: str, form: str):
    rows = [f"u{at % 5},i{at},4,{said.format(at=at % 27 + 1)}" for at in range(40)]
    _, tables, _ = _guessed(_write(tmp_path, "user,item,rating,createdAt", *rows))
    assert tables.interactions.time is not None
    assert tables.interactions.time.format == form


def test_empty_times_are_left_out_and_that_is_said(tmp_path: Path):
    rows = _rows("u{user},i{item},4,2020-01-01", "u{user},i{item},5,")
    _, tables, check = _guessed(_write(tmp_path, "user,item,rating,date", *rows))
    assert tables.interactions.time
    assert tables.interactions.time.missing == "drop"
    assert "interactions without a time are left out" in check


def test_a_file_without_header_is_read_by_what_it_holds(tmp_path: Path):
    rows = [f"{at % 9 + 100}\t{at + 5000}\t{at % 5 + 1}\t{1_000_000_000 + at}" for at in range(60)]
    file = tmp_path / "u.data"
    file.write_text("\n".join(rows))
    _, tables, check = _guessed(file)
    found = tables.interactions
    assert found.header == ("column_1", "column_2", "column_3", "column_4")
    assert (found.user, found.item, found.rating.column) == ("column_1", "column_2", "column_3")
    assert found.time
    assert found.time.column == "column_4"
    assert any("names no columns" in line for line in check)


def test_a_column_that_nothing_looks_like_is_left_to_be_named(tmp_path: Path):
    _, tables, check = _guessed(_write(tmp_path, "foo,bar", "1x,2", "3x,4"))
    assert tables.interactions.user == "CHANGE_ME"
    assert "no column looks like the user: replace CHANGE_ME" in check


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a;b\n1;2\n", (";", "utf-8", None)),
        ("a\tb,c\n1\t2,3\n", ("\t", "utf-8", None)),
        ('a,b\n"x \\"y\\" z",2\n', (",", "utf-8", "\\")),
        ('a,b\n"C:\\dir\\",2\n', (",", "utf-8", None)),
    ],
)
def test_the_dialect_is_guessed(tmp_path: Path, content: str, expected: tuple):
    file = tmp_path / "x.csv"
    file.write_text(content)
    found = guess_dialect(file)
    assert (found.delimiter, found.encoding, found.escape) == expected


def test_the_encoding_is_that_of_the_whole_file(tmp_path: Path):
    file = tmp_path / "x.csv"
    for encoding in ("cp1252", "utf-16", "utf-8"):
        file.write_text("a,b\n" + "1,x\n" * 3_000_000 + "2,é€\n", encoding=encoding)
        assert guess_dialect(file).encoding == encoding


def test_what_names_a_user_is_no_title_of_an_item(tmp_path: Path):
    rows = _rows("u{user},i{item},Ann {user},5")
    _, tables, _ = _guessed(_write(tmp_path, "reviewerID,asin,reviewerName,overall", *rows))
    assert tables.items is None


def test_parquet_categories_are_columns_too(tmp_path: Path):
    table = pa.table(
        {
            "user_id": pa.array([f"u{at % 5}" for at in range(40)]).dictionary_encode(),
            "item_id": pa.array([f"i{at % 7}" for at in range(40)]).dictionary_encode(),
            "rating": [float(at % 5 + 1) for at in range(40)],
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    _, tables, _ = _guessed(tmp_path / "log.parquet")
    assert (tables.interactions.user, tables.interactions.item) == ("user_id", "item_id")


def test_line_separators_of_unicode_end_no_line(tmp_path: Path):
    rows = _rows("u{user},i{item},5,one\u2028two;\x85three")
    dialect = guess_dialect(_write(tmp_path, "user,item,rating,note", *rows))
    assert dialect.delimiter == ","
    text = "user,item,rating\u2028,note\n1,2,3,4\n"
    assert next(dialect.records(csv_lines(text))) == ["user", "item", "rating\u2028", "note"]


def test_one_column_is_told(tmp_path: Path):
    _, _, check = _guessed(_write(tmp_path, "1::1193::5", *_rows("{user}::{item}::4")))
    assert any("set delimiter" in said for said in check)


def test_the_next_command_can_be_pasted(tmp_path: Path):
    target = tmp_path / "my recipe.yaml"
    file = _write(tmp_path, "user,item,rating", *_rows("u{user},i{item},5"))
    command = init_recipe.run(file, target).next_command
    assert shlex.split(command) == ["reclora", "prepare", "--recipe", str(target)]


def test_a_folder_is_told_from_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(MissingInputError, match="a folder"):
        init_recipe.run(tmp_path, tmp_path / "mine.yaml")


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path):
    file = _write(tmp_path, "user,item,rating", *_rows("u{user},i{item},5"))
    target = file / "mine.yaml"
    with pytest.raises(RecloraError, match="cannot be written") as raised:
        init_recipe.run(file, target)
    assert raised.value.where == str(target)


def test_a_recipe_that_is_there_is_not_written_over(tmp_path: Path):
    file, target = write_files(tmp_path), tmp_path / "mine.yaml"
    target.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        init_recipe.run(file, target)
    assert target.read_text() == "precious"
    init_recipe.run(file, target, force=True)
    assert target.read_text() != "precious"
    with pytest.raises(UsageError, match=r"\.yaml"):
        init_recipe.run(file, tmp_path / "mine.csv", force=True)


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=10)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(_TEXT, min_size=1, max_size=5),
    rows=st.lists(st.lists(_TEXT, min_size=1, max_size=5), max_size=5),
)
def test_any_file_gives_a_recipe_that_loads_or_an_error(
    tmp_path: Path, names: list[str], rows: list[list[str]]
):
    file = tmp_path / "any.csv"
    file.write_text("\n".join(",".join(row) for row in [names, *rows]), encoding="utf-8")
    try:
        take_sample(file)
    except RecloraError:
        return
    _guessed(file)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    objects=st.lists(
        st.dictionaries(
            st.sampled_from(["user", "item", "rating", "time", "title"]),
            st.none() | st.booleans() | st.integers(-5, 2**40) | _TEXT | st.lists(_TEXT),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_so_do_any_json_lines(tmp_path: Path, objects: list[dict]):
    file = tmp_path / "any.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in objects), encoding="utf-8")
    try:
        take_sample(file)
    except RecloraError:
        return
    _guessed(file)

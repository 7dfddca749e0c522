"""A recipe's ``data.tables`` says how one's own files are read; whatever does not fit is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from reclora_cli import recipe as recipes
from reclora_cli.data.sources.base import Chunk
from reclora_cli.data.sources.find import find_source
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.prompt.find import find_template
from reclora_cli.prompt.write import PromptWriter
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate, prepare
from reclora_cli.stages.own_recipe import kept_recipe
from reclora_cli.workspace import Workspace
from tests.unit.own_data import BOOKS, ROWS, own_recipe, write_files


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def _read(recipe: Recipe, path: Path) -> tuple[list[Chunk], dict[str, int]]:
    raw = find_source(recipe.data).read(path)
    return list(raw.interactions()), dict(raw.left_out())


def _refused(recipe: Recipe, path: Path) -> RecloraError:
    with pytest.raises(RecloraError) as caught:
        _read(recipe, path)
    return caught.value


# -- what is read -------------------------------------------------------------------------------


def test_columns_are_read_as_the_recipe_names_them(ratings: Path):
    [chunk], left_out = _read(own_recipe(ratings.parent), ratings)
    found = zip(
        chunk.users.to_pylist(), chunk.items.to_pylist(), chunk.ratings, chunk.times, strict=True
    )
    assert list(found) == ROWS
    assert chunk.lines.tolist() == list(range(2, len(ROWS) + 2))
    assert left_out == {}


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv.gz", "parquet"])
def test_the_same_whatever_the_format(ratings: Path, kind: str):
    table = pyarrow.csv.read_csv(ratings)
    file = ratings.parent / f"ratings.{kind}"
    if kind == "parquet":
        pq.write_table(table, file)
    elif kind == "csv.gz":
        file.write_bytes(gzip.compress(ratings.read_bytes()))
    else:
        text = "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
        file.write_bytes(gzip.compress(text) if kind.endswith("gz") else text)
    recipe = own_recipe(ratings.parent)
    [plain], [other] = _read(recipe, ratings)[0], _read(recipe, file)[0]
    assert other.users.equals(plain.users)
    assert other.items.equals(plain.items)
    assert np.array_equal(other.ratings, plain.ratings)
    assert np.array_equal(other.times, plain.times)


def test_items_have_the_fields_of_their_own_file_each_once(ratings: Path):
    books = ratings.parent / "books.csv"
    books.write_text(books.read_text() + "b3,Another title,Nobody,1.0\n")
    raw = find_source(own_recipe(ratings.parent).data).read(ratings)
    found = raw.items(pa.array(["b3", "b7", "unheard of"]))
    assert found.to_dict("records") == [
        {"item_id": "b3", "title": "Title 3", "author": "Author 3", "year": "1993"},
        {"item_id": "b7", "title": "Title 7", "author": "Author 3", "year": "1997"},
    ]


def test_a_field_without_a_value_is_unknown_and_an_item_without_title_goes_by_its_id(
    ratings: Path,
):
    (ratings.parent / "books.csv").write_text("id,name,author,year\nb1,,,\n")
    raw = find_source(own_recipe(ratings.parent).data).read(ratings)
    assert raw.items(pa.array(["b1"])).to_dict("records") == [
        {"item_id": "b1", "title": "b1", "author": "unknown", "year": "unknown"}
    ]


def test_fields_may_stand_in_the_interactions_file(ratings: Path):
    recipe = own_recipe(ratings.parent)
    data = recipe.data.model_dump(mode="json")
    data["tables"] |= {"items": None, "users": {"fields": {"favourite": "book"}}}
    own = recipes.load("base", values={"data": data})
    raw = find_source(own.data).read(ratings)
    assert raw.users(pa.array(["u0", "u1"])).to_dict("records") == [
        {"user_id": "u0", "favourite": "b0"},
        {"user_id": "u1", "favourite": "b5"},
    ]
    assert raw.items(pa.array(["b2"])).to_dict("records") == [{"item_id": "b2", "title": "b2"}]


def test_ids_stay_as_they_are_written(tmp_path: Path):
    file = write_files(tmp_path)
    file.write_text("reader,book,stars,read\n007,01,4,1000000000\n")
    [chunk], _ = _read(own_recipe(tmp_path), file)
    assert (chunk.users.to_pylist(), chunk.items.to_pylist()) == (["007"], ["01"])


def test_labels_become_one_and_zero(tmp_path: Path):
    file = write_files(tmp_path)
    file.write_text("reader,book,stars,read\na,b,yes,1000000000\na,c,no,1000000001\n")
    labels = {"column": "stars", "like": ["yes"], "dislike": ["no"]}
    recipe = own_recipe(tmp_path, "data.like_from=1.0", rating=labels)
    assert find_source(recipe.data).rating_values == (0.0, 1.0)
    assert _read(recipe, file)[0][0].ratings.tolist() == [1.0, 0.0]
    with pytest.raises(UsageError, match="labels are read as 1") as caught:
        find_source(own_recipe(tmp_path, rating=labels).data)
    assert caught.value.where == "data.like_from"


def test_without_a_time_the_order_is_the_files(ratings: Path):
    recipe = own_recipe(ratings.parent, time=None)
    assert not find_source(recipe.data).timed
    [chunk], _ = _read(recipe, ratings)
    assert np.array_equal(chunk.times, chunk.lines)


def test_what_has_no_rating_or_no_time_is_left_out_and_counted_when_the_recipe_says_so(
    tmp_path: Path,
):
    file = write_files(tmp_path)
    file.write_text(
        "reader,book,stars,read\na,b,0,1000000000\na,c,,1000000001\na,d,4,\na,e,5,1000000002\n"
    )
    recipe = own_recipe(
        tmp_path,
        rating={"column": "stars", "none": [0, ""], "between": [1, 5]},
        time={"column": "read", "missing": "drop"},
    )
    [chunk], left_out = _read(recipe, file)
    assert chunk.items.to_pylist() == ["e"]
    assert chunk.where(0) == f"{file}:5"
    assert left_out == {"without rating": 2, "without time": 1}


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,b,five,1000000000", "stars: expected a number, found 'five'"),
        ("a,b,nan,1000000000", "stars: expected a number"),
        ("a,b,inf,1000000000", "stars: expected a number"),
        ("a,b,,1000000000", "stars: expected a number"),
        ("a,b,4,", "read is empty"),
        ("a,b,4,-7", "no time between 1970 and 2100"),
        ("a,b,4,1000000000000", "no time between 1970 and 2100"),
        ("a,b,4,soon", "read: expected a number, found 'soon'"),
        (",b,4,1000000000", "reader is empty"),
        ("a,,4,1000000000", "book is empty"),
        ("a,b,6,1000000000", "6 is off the scale of 1 to 5"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_line(tmp_path: Path, line: str, said: str):
    file = write_files(tmp_path)
    file.write_text(f'reader,book,stars,read\n"a\nb",b,4,1000000000\n{line}\n')
    recipe = own_recipe(tmp_path, rating={"column": "stars", "between": [1, 5]})
    error = _refused(recipe, file)
    assert said in error.what
    assert error.where == f"{file}:4"


def test_a_column_that_is_not_there_is_named(ratings: Path):
    error = _refused(own_recipe(ratings.parent, user="user"), ratings)
    assert error.what == "no column 'user'; found: reader, book, stars, read"


def test_a_folder_is_no_interactions_file(ratings: Path):
    with pytest.raises(UsageError, match="a folder"):
        _read(own_recipe(ratings.parent), ratings.parent)


def test_a_name_of_the_catalogue_or_one_that_is_no_folder_is_refused(ratings: Path):
    for name, said in (("ml-1m", "a dataset of the catalogue"), ("../x", "cannot be the name")):
        recipe = own_recipe(ratings.parent, f"data.source={name}")
        with pytest.raises(UsageError, match=said):
            find_source(recipe.data)


def test_an_items_file_that_is_not_there_is_missing(ratings: Path):
    (ratings.parent / "books.csv").unlink()
    with pytest.raises(MissingInputError, match="no such file"):
        find_source(own_recipe(ratings.parent).data).find_files(ratings)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"noun": 3}, "data.tables.noun"),
        ({"interactions": {"user": "a", "item": "b", "rating": {"column": "c"}}}, "time: missing"),
        ({"delimiters": ";"}, "data.tables.delimiters: unknown key"),
        ({"items": {"file": "x.csv"}}, "needs key"),
        ({"items": {"fields": {"noun": "x"}}}, "a meaning of its own"),
        ({"items": {"fields": {"a b": "x"}}}, "named like a Python variable"),
        ({"items": {"fields": {"a": "x"}, "texts": {"a": "y"}}}, "under both fields and texts"),
        ({"items": {"delimiter": "::"}}, "one ASCII character"),
        ({"items": {"encoding": "klingon"}}, "unknown encoding"),
    ],
)
def test_a_recipe_that_does_not_fit_says_where(ratings: Path, tables: dict, said: str):
    whole = own_recipe(ratings.parent).data.tables
    assert whole is not None
    with pytest.raises(UsageError, match=said):
        recipes.load("base", values={"data.tables": whole.model_dump(mode="json") | tables})


def test_labels_need_both_words_and_no_scale(ratings: Path):
    for rating, said in (
        ({"like": ["a"]}, "both like and dislike"),
        ({"like": ["a"], "dislike": ["b"], "values": [1]}, "no scale"),
        ({"like": ["a"], "dislike": ["a"]}, "cannot mean both"),
    ):
        with pytest.raises(UsageError, match=said):
            own_recipe(ratings.parent, rating={"column": "stars", **rating})


# -- prepared -----------------------------------------------------------------------------------


def test_it_is_prepared_like_any_dataset(ratings: Path, tmp_path: Path):
    recipe, workspace = own_recipe(ratings.parent), Workspace(tmp_path / "ws")
    result = prepare.run(recipe, workspace, given=ratings)
    store = InteractionsStore(workspace.store("mine").path)
    assert (result.users, result.items, result.behaviours) == (12, len(BOOKS), len(ROWS))
    assert store.header.item_fields == ("item_id", "title", "author", "year")
    assert sorted(result.files) == ["books.csv", "ratings.csv"]
    [prompt] = PromptWriter(store, find_template(recipe.prompt)).text(
        np.array([0]), np.array([0]), np.array([[0, 1]])
    )
    assert prompt.startswith("The user rated the following in the past:\n['0. Title ")
    assert "will like the book ***Title 0***" in prompt


def test_its_recipe_is_kept_whole_with_absolute_paths(ratings: Path, tmp_path: Path):
    recipe, workspace = own_recipe(ratings.parent), Workspace(tmp_path / "ws")
    prepare.run(recipe, workspace, given=ratings)
    kept = kept_recipe(workspace, "mine")
    assert kept is not None
    found = recipes.load(kept)
    assert found.data.tables.interactions.file == str(ratings)  # type: ignore[union-attr]
    for stage in ("prepare", "build-index", "pretrain-crm", "finetune"):
        assert locate.fingerprint_of(stage, found) == locate.fingerprint_of(stage, recipe)
    assert prepare.run(found, workspace).up_to_date


def test_its_kept_recipe_is_read_by_a_version_that_knows_more_keys(ratings: Path, tmp_path: Path):
    workspace = Workspace(tmp_path / "ws")
    prepare.run(own_recipe(ratings.parent), workspace, given=ratings)
    kept = kept_recipe(workspace, "mine")
    assert kept
    whole = recipes.load(kept)
    text = kept.read_text()
    assert "  stop_on: all\n" in text
    kept.write_text(text.replace("  stop_on: all\n", ""))
    assert recipes.load(kept) == whole


def test_a_failed_preparation_keeps_nothing(ratings: Path, tmp_path: Path):
    workspace = Workspace(tmp_path / "ws")
    with pytest.raises(RecloraError):
        prepare.run(own_recipe(ratings.parent, user="nobody"), workspace, given=ratings)
    assert kept_recipe(workspace, "mine") is None
    assert workspace.datasets() == []


def test_a_file_that_moved_is_the_same_and_one_that_changed_is_not(ratings: Path, tmp_path: Path):
    recipe, workspace = own_recipe(ratings.parent), Workspace(tmp_path / "ws")
    prepare.run(recipe, workspace, given=ratings)
    (tmp_path / "elsewhere").mkdir()
    moved = ratings.rename(tmp_path / "elsewhere" / "ratings.csv")
    assert prepare.run(recipe, workspace, given=moved).up_to_date
    kept = kept_recipe(workspace, "mine")
    assert kept is not None
    assert str(moved) in kept.read_text()
    books = tmp_path / "books.csv"
    books.write_text(books.read_text().replace("Title 3", "Another"))
    assert not prepare.run(recipe, workspace, given=moved).up_to_date


def test_without_its_file_it_cannot_be_prepared(ratings: Path, tmp_path: Path):
    with pytest.raises(MissingInputError) as caught:
        prepare.run(own_recipe(ratings.parent), Workspace(tmp_path / "ws"))
    assert "--from" in str(caught.value.hint)


def test_a_file_that_went_away_is_asked_for_by_name(ratings: Path, tmp_path: Path):
    with pytest.raises(MissingInputError, match="is not there") as caught:
        prepare.run(
            own_recipe(ratings.parent), Workspace(tmp_path / "ws"), given=tmp_path / "gone.csv"
        )
    assert "--from FILE" in str(caught.value.hint)


def test_an_undescribed_item_is_an_error_or_left_out_as_the_recipe_says(
    ratings: Path, tmp_path: Path
):
    books = ratings.parent / "books.csv"
    books.write_text("".join(books.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(RecloraError, match="b19"):
        prepare.run(own_recipe(ratings.parent), Workspace(tmp_path / "ws"), given=ratings)
    lenient = own_recipe(ratings.parent, "data.tables.undescribed=drop")
    result = prepare.run(lenient, Workspace(tmp_path / "ws"), given=ratings)
    assert result.items == len(BOOKS) - 1
    assert result.left_out["not described"] == sum(row[1] == "b19" for row in ROWS)

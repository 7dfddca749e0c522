"""MovieLens as CSV: every row is kept, fields are six, half stars are a scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reclora_cli import recipe
from reclora_cli.data.sources import movielens_csv
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n"
        "1,Toy Story (1995),Adventure|Animation\n"
        '11,"American President, The (1995)",Comedy|Drama\n'
        "131260,Rentun Ruusu (2001),(no genres listed)\n",
        encoding="utf-8",
    )
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,1,5.0,1147880044\n1,11,0.5,1147868817\n"
    )
    return tmp_path


def test_interactions_are_read_as_they_stand(files: Path) -> None:
    [chunk] = movielens_csv.read(files).interactions()
    assert chunk.users.to_pylist() == [1, 1]
    assert chunk.items.to_pylist() == [1, 11]
    assert chunk.ratings.tolist() == [5.0, 0.5]
    assert chunk.times.tolist() == [1147880044, 1147868817]
    assert chunk.where(1) == f"{files / 'ratings.csv'}:3"


def test_title_with_a_comma_and_a_movie_without_genres_are_read(files: Path) -> None:
    items = movielens_csv.read(files).items(pa.array([11, 131260]))
    assert items["title"].tolist() == ["American President, The (1995)", "Rentun Ruusu (2001)"]
    assert items["genre"].tolist() == ["Comedy", "(no genres listed)"]
    assert items["genres"].tolist() == [["Comedy", "Drama"], ["(no genres listed)"]]


def test_rating_of_an_unknown_movie_is_named_with_its_line(files: Path) -> None:
    with (files / "ratings.csv").open("a") as ratings:
        ratings.write("2,7,3.0,1147868817\n")
    with pytest.raises(RecloraError, match=r"movieId 7 is not in movies\.csv") as caught:
        list(movielens_csv.read(files).interactions())
    assert caught.value.where == f"{files / 'ratings.csv'}:4"


def test_movie_described_twice_is_named(files: Path) -> None:
    with (files / "movies.csv").open("a") as movies:
        movies.write("1,Toy Story (1995),Adventure\n")
    with pytest.raises(RecloraError, match="a second time"):
        movielens_csv.read(files)


def test_all_rows_of_ml_latest_small_are_samples(real_data: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    given = real_data / "ml-latest-small"
    result = prepare.run(recipe.load("ml-latest-small"), workspace, given=given)
    assert (result.users, result.items, result.samples) == (610, 9_724, 100_836)
    assert (result.fields, result.left_out, result.timed) == (6, {}, True)
    store = InteractionsStore(workspace.store("ml-latest-small").path)
    sizes = [len(store.vocabulary(name)) for name in ("user_id", "item_id", "title", "genre")]
    assert result.features == sum(sizes) + 10
    assert sizes[0] == 610
    assert len(store.header.rating_values) == 10


def test_first_rows_of_ml_25m_are_read_with_its_whole_list_of_movies(
    real_data: Path, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    result = prepare.run(recipe.load("ml-25m"), workspace, given=real_data / "ml-25m-sample")
    assert (result.samples, result.behaviours, result.fields) == (100_000, 100_000, 6)
    store = InteractionsStore(workspace.store("ml-25m").path)
    likes = np.asarray(store.header.rating_values)[store.rating] > 3.0
    assert np.array_equal(store.label, likes)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,2,nan,964982703", "rating is empty"),
        ("1,2,inf,964982703", "rating: expected a number"),
        ("1,2,4.0,964982703000", "no time between 1970 and 2100"),
        ("1,2,4.0,-1", "no time between 1970 and 2100"),
        (",2,4.0,964982703", "userId is empty"),
        ("1,two,4.0,964982703", "movieId: expected a whole number, found 'two'"),
        ("1,2,4.0", "expected 4 values, found 3"),
    ],
)
def test_a_rating_that_does_not_fit_is_named_by_file_and_line(
    files: Path, line: str, said: str
) -> None:
    ratings = files / "ratings.csv"
    text = ratings.read_text()
    ratings.write_text(text + line + "\n")
    with pytest.raises(RecloraError) as caught:
        list(movielens_csv.read(files).interactions())
    assert said in caught.value.what
    assert caught.value.where == f"{ratings}:{len(text.splitlines()) + 1}"

"""``prepare goodreads`` from end to end on made-up files, and the making of these."""

from __future__ import annotations

import datetime
import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reclora_cli import catalog, recipe
from reclora_cli.data.features import field_count
from reclora_cli.data.sources.base import FilesAddress, Source
from reclora_cli.data.store import InteractionsStore
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace
from tests.benchmarks.generate_goodreads import write_goodreads
from tests.benchmarks.goodreads_shape import Shape

FORM = "%a %b %d %H:%M:%S %z %Y"
FIELDS = [
    *("user_id", "book_id", "review_id", "is_read", "rating", "review_text_incomplete"),
    *("date_added", "date_updated", "read_at", "started_at"),
]


def _sources() -> list[str]:
    return [name for name in catalog.DATASETS if name.startswith("goodreads")]


@pytest.mark.parametrize("name", _sources())
def test_each_source_has_a_recipe_and_addresses_of_all_its_files(name: str) -> None:
    loaded = recipe.load(name)
    source: Source = catalog.DATASETS.load(loaded.data.source)
    assert (source.name, loaded.data.core, loaded.prompt.template) == (name, 5, "books")
    (address,) = source.addresses
    assert isinstance(address, FilesAddress)
    base = "https://mcauleylab.ucsd.edu/public_datasets/gdrive/goodreads/"
    places = {file: address.url_of(file).removeprefix(base) for file in source.files}
    for file, place in places.items():
        shared = "author" in file or "genres" in file or name == "goodreads"
        assert place == (file if shared else f"byGenre/{file}")


def test_the_whole_graph_and_eight_subsets_are_in_the_catalogue() -> None:
    assert len(_sources()) == 9


@pytest.fixture(scope="module", params=["", "poetry"])
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, prepare.PrepareResult]:
    folder = tmp_path_factory.mktemp("made")
    write_goodreads(folder / "from", Shape(6000, 60, 150, 40, seed=2, genre=request.param))
    loaded = recipe.load(f"goodreads-{request.param}" if request.param else "goodreads")
    workspace = Workspace(folder / "workspace")
    return folder / "from", prepare.run(loaded, workspace, given=folder / "from")


def _rated(folder: Path) -> pd.DataFrame:
    file = next(folder.glob("goodreads_interactions*"))
    with gzip.open(file, "rt") as lines:
        table = pd.DataFrame(map(json.loads, lines))
    return table[table["rating"] > 0]


def test_prepared_counts_are_those_of_a_pandas_five_core(
    prepared: tuple[Path, prepare.PrepareResult],
) -> None:
    folder, result = prepared
    table = rated = _rated(folder)
    before = -1
    while len(table) != before:
        before = len(table)
        for key in ("user_id", "book_id"):
            table = table[table.groupby(key)[key].transform("size") >= 5]
    assert result.left_out["without rating"] == 6000 - len(rated)
    assert (result.users, result.items) == (table["user_id"].nunique(), table["book_id"].nunique())
    repeated = result.left_out.get("repeated", 0)
    assert result.behaviours == len(table) - repeated
    assert result.samples == result.behaviours - 5 * result.users
    assert result.fields == 15


def test_prepared_behaviours_are_those_of_the_file_in_time_order(
    prepared: tuple[Path, prepare.PrepareResult],
) -> None:
    folder, result = prepared
    store = InteractionsStore(Path(result.artefact))
    assert field_count(store) == 15
    user = store.users["user_id"].iloc[3]
    table = _rated(folder)
    table = table[table["user_id"] == user]
    times = [datetime.datetime.strptime(text, FORM).timestamp() for text in table["date_added"]]
    expected = sorted(zip(times, table["book_id"].astype(int), table["rating"], strict=True))
    start, end = store.user_start[3], store.user_start[4]
    ids = store.items["item_id"].to_numpy()[store.item[start:end]]
    stars = np.asarray(store.header.rating_values)[store.rating[start:end]]
    found = list(zip(store.time[start:end], ids, stars, strict=True))
    assert found == [row for row in expected if row[1] in set(store.items["item_id"])]


def test_prepared_books_have_what_prompts_say(
    prepared: tuple[Path, prepare.PrepareResult],
) -> None:
    store = InteractionsStore(Path(prepared[1].artefact))
    assert {"title", "author", "year", "publisher", "genre", "genres"} <= {*store.items.columns}
    assert not store.items.isna().any().any()


# -- the generator --------------------------------------------------------------------------------


def test_generated_files_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    def contents(folder: str, seed: int) -> list[bytes]:
        files = write_goodreads(tmp_path / folder, Shape(500, 9, 30, 10, seed))
        return [gzip.decompress(file.read_bytes()) for file in files.values()]

    assert contents("a", 1) == contents("b", 1)
    assert contents("c", 2)[0] != contents("b", 1)[0]


def test_generated_lines_have_the_form_of_the_original(tmp_path: Path) -> None:
    files = write_goodreads(tmp_path, Shape(5000, 80, 400, 90))
    content = gzip.decompress(files["interactions"].read_bytes())
    rows = [json.loads(line) for line in content.splitlines()]
    assert len(rows) == 5000
    assert list(rows[0]) == FIELDS
    assert 300 < len(content) / len(rows) < 450
    assert 0.42 < sum(row["rating"] == 0 for row in rows) / len(rows) < 0.48
    users = [row["user_id"] for row in rows]
    assert len(set(users)) == 80
    assert sum(one != other for one, other in itertools.pairwise(users)) == 79
    books = [json.loads(line) for line in gzip.decompress(files["books"].read_bytes()).splitlines()]
    assert {row["book_id"] for row in rows} <= {book["book_id"] for book in books}
    assert any(len(book["authors"]) > 1 for book in books)
    assert len({book["title"] for book in books}) < 0.95 * len(books)

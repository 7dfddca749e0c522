"""Files made up for measuring: exact counts, GroupLens' format, the same bytes every time."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from reclora_cli import recipe
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace
from tests.benchmarks.generate_movielens import FULL, GENRES, Shape, user_counts, write_movielens

SHAPE = Shape.of(20_000)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_movielens(folder, SHAPE)
    return folder


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_full_size_is_movielens_25m() -> None:
    assert Shape.of(FULL) == Shape(25_000_095, 162_541, 59_047, 62_423, 58_958)
    counts = user_counts(Shape.of(FULL), np.random.default_rng(0))
    assert (counts.sum(), counts.min(), counts.max()) == (FULL, 20, 32_202)


def test_counts_come_out_exactly(written: Path) -> None:
    ratings, movies = table(written / "ratings.csv"), table(written / "movies.csv")
    users = {line["userId"] for line in ratings}
    rated = {line["movieId"] for line in ratings}
    titles = {movie["title"] for movie in movies if movie["movieId"] in rated}
    found = Shape(len(ratings), len(users), len(rated), len(movies), len(titles))
    assert found == SHAPE
    assert len({(line["userId"], line["movieId"]) for line in ratings}) == SHAPE.ratings


def test_lines_are_as_grouplens_writes_them(written: Path) -> None:
    lines = (written / "ratings.csv").read_text(encoding="ascii").splitlines()
    assert lines[0] == "userId,movieId,rating,timestamp"
    keys = [tuple(map(int, line.split(",")[:2])) for line in lines[1:]]
    assert keys == sorted(keys)
    assert {line.split(",")[2] for line in lines[1:]} == {
        f"{half / 2:.1f}" for half in range(1, 11)
    }
    text = (written / "movies.csv").read_text(encoding="utf-8")
    assert text.startswith("movieId,title,genres\n")
    assert ',"American President, The 1 (1921)",Adventure' in text
    assert {movie["genres"].split("|")[0] for movie in table(written / "movies.csv")} == set(GENRES)


def test_the_same_seed_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_movielens(tmp_path, SHAPE)
    for name in ("ratings.csv", "movies.csv"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_prepare_reads_them_whole(written: Path, tmp_path: Path) -> None:
    found = prepare.run(recipe.load("ml-25m"), Workspace(tmp_path), given=written)
    assert (found.behaviours, found.users, found.items) == (
        SHAPE.ratings,
        SHAPE.users,
        SHAPE.items,
    )

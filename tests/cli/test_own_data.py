"""Data of one's own from the command line: guess a recipe, prepare it, go on without naming it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Reclora
from tests.unit.own_data import BOOKS, write_files


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    file = write_files(folder)
    text = file.read_text().replace("reader,book,stars,read", "userId,bookId,rating,timestamp")
    file.write_text(text)
    return file


def test_a_guessed_recipe_is_written_shown_and_prepared(
    reclora: Reclora, ratings: Path, tmp_path: Path
):
    done = reclora("prepare", "mine", "--init", "my.yaml", "--from", ratings)
    assert done.code == 0, done.err
    assert "books.csv by id: title, author, year" in done.out
    assert "Next: reclora prepare --recipe my.yaml" in done.err
    assert (tmp_path / "my.yaml").is_file()
    prepared = reclora("prepare", "--recipe", "my.yaml", "--json")
    assert (prepared.json["dataset"], prepared.json["items"]) == ("mine", len(BOOKS))


def test_a_guess_as_json_tells_the_same(reclora: Reclora, ratings: Path):
    told = reclora("prepare", "--init", "my.yaml", "--from", ratings, "--json").json
    assert told["dataset"] == "ratings"
    assert told["guessed"]["user"] == "userId"
    assert told["next_command"] == "reclora prepare --recipe my.yaml"


def test_init_needs_a_file_and_spares_what_is_there(
    reclora: Reclora, ratings: Path, tmp_path: Path
):
    assert reclora("prepare", "--init", "my.yaml").code == 2
    (tmp_path / "my.yaml").write_text("precious")
    done = reclora("prepare", "--init", "my.yaml", "--from", ratings)
    assert done.code == 2
    assert "exists already" in done.err
    assert reclora("prepare", "--init", "my.yaml", "--from", ratings, "--force").code == 0


def test_the_dataset_and_its_file_may_be_named_over_the_recipe(reclora: Reclora, ratings: Path):
    reclora("prepare", "--init", "my.yaml", "--from", ratings)
    other = ratings.rename(ratings.with_name("others.csv"))
    done = reclora("prepare", "theirs", "--recipe", "my.yaml", "--from", other, "--json")
    assert done.json["dataset"] == "theirs"
    assert "others.csv" in done.json["files"]


def test_later_commands_find_its_recipe_by_themselves(reclora: Reclora, ratings: Path):
    reclora("prepare", "mine", "--init", "my.yaml", "--from", ratings)
    reclora("prepare", "--recipe", "my.yaml", "--set", "data.warm_up=2")
    Path("my.yaml").unlink()
    shown = reclora("show", "--recent")
    assert "Dataset: mine, the last prepared." in shown.err
    assert "The user read the following books" in shown.out
    again = reclora("prepare", "mine", "--json")
    assert again.json["up_to_date"] is True
    assert reclora("prepare", "--json", "mine", "--force").json["up_to_date"] is False


def test_an_unknown_dataset_is_told_how_one_brings_ones_own(reclora: Reclora):
    done = reclora("prepare", "mine")
    assert done.code == 2
    assert "reclora prepare --init my.yaml --from FILE" in done.err


def test_a_recipe_without_tables_does_not_make_a_dataset_ones_own(reclora: Reclora):
    done = reclora("prepare", "mine", "--recipe", "ml-1m")
    assert done.code == 2
    assert "unknown dataset 'mine'" in done.err


def test_a_value_that_does_not_fit_is_one_error_and_nothing_is_kept(
    reclora: Reclora, ratings: Path, tmp_path: Path
):
    reclora("prepare", "mine", "--init", "my.yaml", "--from", ratings)
    ratings.write_text(ratings.read_text() + "u1,b1,four,1000000000\n")
    done = reclora("prepare", "--recipe", "my.yaml", "-w", tmp_path / "ws")
    assert done.code == 1
    assert "rating: expected a number, found 'four'" in done.err
    assert f"ratings.csv:{len(ratings.read_text().splitlines())}" in done.err
    assert not list((tmp_path / "ws" / "datasets").glob("*/*"))

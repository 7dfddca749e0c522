"""What somebody new rates: lines of a file, titles searched by words."""

from __future__ import annotations

from pathlib import Path

import pytest

from reclora_cli.data.lookup import titles_with
from reclora_cli.data.rated import Rated, new_user, read_rated
from reclora_cli.errors import RecloraError
from tests.world import TinyWorld, movie_id

TITLES = ["Heat (1995)", "Heat, The (2013)", "Dead Heat (1988)", "Wheat (1999)", "L'Été (1980)"]


def written(folder: Path, *lines: str) -> Path:
    file = folder / "history.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_lines_name_items_by_title_or_id(tiny_world: TinyWorld, tmp_path: Path) -> None:
    store = tiny_world.store
    title, item = store.items["title"].iloc[3], movie_id(7)
    ids = store.items["item_id"].tolist()
    file = written(
        tmp_path, f'{{"item": {title!r}, "rating": 4}}'.replace("'", '"'), "",
        f'{{"item": {item}, "rating": 2.0}}',
    )  # fmt: skip
    assert read_rated(file, store) == [Rated(3, 4.0), Rated(ids.index(item), 2.0)]


def test_behaviours_stand_in_time_order_where_there_are_times(
    tiny_world: TinyWorld, tmp_path: Path
) -> None:
    store = tiny_world.store
    file = written(
        tmp_path,
        f'{{"item": {movie_id(7)}, "rating": 2, "time": "2001-01-02"}}',
        f'{{"item": {movie_id(3)}, "rating": 5, "time": 978307200}}',
    )
    user = new_user(read_rated(file, store), {}, store)
    assert list(user.ratings) == [4, 1]
    assert list(user.times) == [978307200, 978393600]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"item": "Heet", "rating": 4}', "Near ones"),
        ('{"item": 5, "rating": 9}', "Its ratings: 1, 2, 3, 4, 5"),
        ('{"item": 5, "rating": "good"}', "'good' is no rating"),
        ('{"item": [5], "rating": 4}', "an item is a title or an id, not [5]"),
        ('{"item": true, "rating": 4}', "an item is a title or an id, not True"),
        ('{"item": 5}', "no 'rating'"),
        ('{"rating": 5}', "no 'item'"),
        ('{"item": 5, "rating": 4, "tiem": 3}', "Did you mean time or item?"),
        ('{"item": 5, "rating": 4, "time": "yesterday"}', "a time as in ISO 8601"),
        ('{"item": 5, "rating": 4, "time": 978307200}', "some lines have a time"),
        ('{"item": 5, "rating": ', "one JSON object on each line"),
    ],
)
def test_a_line_that_does_not_fit_is_named(
    tiny_world: TinyWorld, tmp_path: Path, line: str, words: str
) -> None:
    file = written(tmp_path, '{"item": 5, "rating": 4}', line)
    with pytest.raises(RecloraError) as raised:
        read_rated(file, tiny_world.store)
    assert words in str(raised.value)
    assert raised.value.where == f"{file}:2"


def test_titles_are_found_by_the_beginnings_of_their_words() -> None:
    assert titles_with("heat", TITLES) == [0, 1, 2]
    assert titles_with("HEA 19", TITLES) == [0, 2]
    assert titles_with("été", TITLES) == [4]
    assert titles_with("", TITLES) == []
    assert titles_with("nothing", TITLES) == []

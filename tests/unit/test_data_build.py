"""The store says what its interactions say: rows, order, split, labels, vocabularies."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli import recipe
from reclora_cli.data.building.build import build_store, split_sizes
from reclora_cli.data.features import feature_count, field_count
from reclora_cli.data.sources.base import whole
from reclora_cli.data.sources.ml_1m import SOURCE
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import MissingInputError, RecloraError
from tests.unit.data_oracle import (
    Interaction,
    at_position,
    built,
    interactions,
    interactions_table,
    raw_dataset,
    target_rows,
)
from tests.world import TinyWorld


@given(found=interactions(), warm_up=st.integers(0, 3))
def test_rows_are_the_interactions_after_the_warm_up_in_global_order(
    found: list[Interaction], warm_up: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = target_rows(found, warm_up)
    folder = tmp_path_factory.mktemp("store")
    if len(expected) < 10:
        with pytest.raises(RecloraError, match="too few"):
            built(found, folder, warm_up=warm_up)
        return
    store = built(found, folder, warm_up=warm_up)
    assert [at_position(store, at) for at in store.row_position] == expected
    assert store.row_label(np.arange(len(store))).tolist() == [row.rating >= 4 for row in expected]


@given(found=interactions(), order=st.randoms(use_true_random=False))
def test_order_of_lines_in_the_file_does_not_matter(
    found: list[Interaction], order: Random, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shuffled = list(found)
    order.shuffle(shuffled)
    folders = [tmp_path_factory.mktemp("store") for _ in range(2)]
    for lines, folder in zip((found, shuffled), folders, strict=True):
        built(lines, folder, warm_up=0)
    for file in folders[0].iterdir():
        assert file.read_bytes() == (folders[1] / file.name).read_bytes(), file.name


def test_behaviours_of_a_user_are_one_range_in_time_order(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    for user in range(store.header.users):
        own = slice(store.user_start[user], store.user_start[user + 1])
        assert (store.user[own] == user).all()
        assert (np.diff(store.time[own]) >= 0).all()
    assert store.user_start[-1] == store.header.behaviours


def test_store_keeps_every_line_of_the_file(tiny_world: TinyWorld) -> None:
    lines = (tiny_world.raw / "ratings.dat").read_text().splitlines()
    written = {tuple(map(int, line.split("::"))) for line in lines}
    store = tiny_world.store
    kept = {
        (one.user, one.item, one.rating, one.time)
        for one in (at_position(store, at) for at in range(store.header.behaviours))
    }
    assert kept == written


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(970_009, (776_007, 97_000, 97_002)), (100, (80, 10, 10)), (19, (15, 1, 3))],
)
def test_split_rounds_down_and_gives_the_rest_to_test(
    rows: int, expected: tuple[int, int, int]
) -> None:
    assert split_sizes(rows, (8, 1, 1)) == expected


def test_split_with_an_empty_part_is_refused() -> None:
    with pytest.raises(RecloraError, match="9 rows are too few"):
        split_sizes(9, (8, 1, 1))


def test_splits_part_the_rows(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    rows = [row for split in ("train", "valid", "test") for row in store.split(split)]
    assert rows == list(range(len(store)))
    names = store.split_of(np.array([0, store.split("valid")[0], len(store) - 1]))
    assert names.tolist() == [0, 1, 2]


def test_rating_off_the_scale_is_refused(tmp_path: Path) -> None:
    found = [Interaction(100 + at, 1, at, 3) for at in range(20)]
    table = interactions_table(found).astype({"rating": float})
    table.loc[4, "rating"] = 3.5
    raw = raw_dataset(found)
    every = pa.array(range(20))
    raw = whole(table, raw.users(pa.array([1])), raw.items(every), Path("ratings.dat"))
    with pytest.raises(RecloraError, match=r"rating 3\.5 is off the scale") as caught:
        build_store(raw, SOURCE, recipe.load("ml-1m").data, tmp_path)
    assert caught.value.where == "ratings.dat:5"


def test_users_and_items_that_never_interact_are_left_out(tmp_path: Path) -> None:
    found = [Interaction(100 + at, 1 + at % 2, at, 3 + at % 3) for at in range(60)]
    build_store(raw_dataset(found, [999]), SOURCE, recipe.load("ml-1m").data, tmp_path)
    store = InteractionsStore(tmp_path)
    assert "title 999" not in store.vocabulary("title").tolist()
    assert store.header.items == 60


def test_codes_are_places_in_the_vocabularies(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    for at, field in enumerate(store.header.item_fields):
        decoded = [store.vocabulary(field)[code] for code in store.item_fields[:, at]]
        assert decoded == store.items[field].tolist()
    for at, field in enumerate(store.header.user_fields):
        decoded = [store.vocabulary(field)[code] for code in store.user_fields[:, at]]
        assert decoded == store.users[field].tolist()


def test_rows_of_a_user_come_in_time_order(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    every = np.arange(len(store))
    for user in range(store.header.users):
        own = store.rows_of_user(user)
        assert own.tolist() == every[store.row_user(every) == user].tolist()


def test_table_1_counts_the_tiny_world_by_hand(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    profiles = store.users[["gender", "age", "job", "zipcode"]].nunique().sum()
    titles_and_genres = store.items["title"].nunique() + store.items["genre"].nunique()
    expected = 30 + profiles + 40 + titles_and_genres + 5
    assert feature_count(store) == expected
    assert field_count(store) == 10


def test_folder_without_a_store_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="reclora prepare"):
        InteractionsStore(tmp_path)


def test_damaged_store_is_named(tiny_copy: TinyWorld) -> None:
    folder = tiny_copy.workspace.store("ml-1m").path
    whole = (folder / "time.npy").read_bytes()
    (folder / "time.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecloraError, match="the store is damaged") as caught:
        InteractionsStore(folder)
    assert caught.value.where == str(folder)

"""Sequences from LLaRA's files, from MovieLens 100K cut like them, from prepared interactions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reclora_cli import recipe
from reclora_cli.data.sequences.rows import Sequences
from reclora_cli.data.sequences.sources import interactions, llara
from reclora_cli.data.sequences.sources.llara_movielens import SOURCE as MOVIELENS
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.recipe.next_item import NextRecipe
from tests.sequences_world import LENGTH, PADDING, frame, write_llara
from tests.world import TinyWorld

Row = tuple[list[int], int]


def settings(**values: object) -> NextRecipe:
    return recipe.load("lastfm").next.model_copy(update=values)


def rows_of(found: Sequences, split: str) -> list[Row]:
    rows = found.splits[split]
    return [
        (history[:length].tolist(), int(target))
        for history, length, target in zip(rows.history, rows.length, rows.target, strict=True)
    ]


def read(folder: Path, **values: object) -> Sequences:
    return llara.LASTFM.read(llara.LASTFM.find_files(folder), settings(**values))


# -- LLaRA's files ----------------------------------------------------------------------------


def test_rows_are_read_as_they_are_published(tmp_path: Path) -> None:
    found = read(write_llara(tmp_path))
    published = pd.read_parquet(tmp_path / "lastfm" / "val.parquet")
    assert rows_of(found, "valid") == [
        ([item for item in history if item != PADDING], target)
        for history, target in zip(published["seq"], published["next"], strict=True)
    ]
    assert (found.splits["valid"].user == -1).all()
    assert (found.splits["valid"].time == -1).all()


def test_training_rows_without_a_history_are_left_out_and_counted(tmp_path: Path) -> None:
    found = read(write_llara(tmp_path))
    assert found.left_out == {llara.EMPTY: 20}
    assert len(found.splits["train"]) == 20 * 12


def test_short_validation_and_test_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    found = read(write_llara(tmp_path), least_history=6)
    assert min(found.splits["test"].length) == 6 == min(found.splits["valid"].length)
    assert found.left_out[llara.SHORT] == 24 - len(rows_of(found, "valid") + rows_of(found, "test"))
    assert min(found.splits["train"].length) == 1


def test_a_shorter_history_keeps_the_latest(tmp_path: Path) -> None:
    whole, short = read(write_llara(tmp_path)), read(tmp_path, history=4)
    for split in ("train", "test"):
        assert rows_of(short, split) == [(h[-4:], t) for h, t in rows_of(whole, split)]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([([1, 60], 2)], "row 0 holds an item without a name"),
        ([([1, 2], 3), ([1, 2], 60)], "row 1 holds an item without a name"),
        ([([1, 2, 1], 3)], "row 0 holds an item twice"),
        ([([1, PADDING, 2], 3)], "row 0 has padding inside"),
        ([([1, -2], 3)], "row 0 holds an item without a name"),
    ],
)
def test_rows_that_cannot_be_of_the_dataset_are_named(
    tmp_path: Path, rows: list[Row], what: str
) -> None:
    frame(rows).to_parquet(write_llara(tmp_path) / "lastfm" / "test.parquet")
    with pytest.raises(RecloraError, match=what) as told:
        read(tmp_path)
    assert "test.parquet" in str(told.value)
    assert "LastFM" in str(told.value)


@pytest.mark.parametrize("size", [0, 200])
def test_a_damaged_file_is_named(tmp_path: Path, size: int) -> None:
    file = write_llara(tmp_path) / "lastfm" / "train.parquet"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(RecloraError, match="damaged, or no Parquet file") as told:
        read(tmp_path)
    assert "train.parquet" in str(told.value)


def test_a_file_without_its_columns_is_named(tmp_path: Path) -> None:
    pd.DataFrame({"seq": [[1]]}).to_parquet(write_llara(tmp_path) / "lastfm" / "val.parquet")
    with pytest.raises(RecloraError, match="lacks the column next"):
        read(tmp_path)


def test_a_name_that_is_missing_is_named_by_its_line(tmp_path: Path) -> None:
    names = write_llara(tmp_path) / "lastfm" / "id2name.txt"
    lines = names.read_text().splitlines()
    names.write_text("\n".join([*lines[:7], "7:: ", *lines[8:]]))
    with pytest.raises(RecloraError, match="expected 7::name") as told:
        read(tmp_path)
    assert "id2name.txt:8" in str(told.value)


def test_a_name_may_hold_the_separator(tmp_path: Path) -> None:
    names = write_llara(tmp_path) / "lastfm" / "id2name.txt"
    names.write_text(names.read_text().replace("Artist 7\n", "Re::Artist\n"))
    assert read(tmp_path).items["title"][7] == "Re::Artist"


def test_a_missing_file_says_where_it_may_lie_and_where_it_is_from(tmp_path: Path) -> None:
    (write_llara(tmp_path) / "lastfm" / "test.parquet").unlink()
    with pytest.raises(MissingInputError, match="the file test of LastFM is not here") as told:
        read(tmp_path)
    assert "huggingface.co/datasets/joyliao7777/LLaRA" in str(told.value)


# -- as published -----------------------------------------------------------------------------


def test_the_published_lastfm_has_the_known_counts(real_data: Path) -> None:
    found = read(real_data)
    assert {name: len(rows) for name, rows in found.splits.items()} == {
        "train": 49_824,
        "valid": 122,
        "test": 122,
    }
    assert found.left_out == {llara.EMPTY: 976}
    assert len(found.items) == 4606


def test_the_published_steam_has_the_known_counts(real_data: Path) -> None:
    found = llara.STEAM.read(llara.STEAM.find_files(real_data), settings())
    assert {name: len(rows) for name, rows in found.splits.items()} == {
        "train": 1_000,
        "valid": 1_184,
        "test": 1_186,
    }
    assert found.left_out == {llara.SHORT: 18}
    assert len(found.items) == 3581


def test_files_of_one_dataset_are_not_those_of_the_other(real_data: Path) -> None:
    lastfm, steam = (of.find_files(real_data) for of in (llara.LASTFM, llara.STEAM))
    with pytest.raises(RecloraError, match="an item twice"):
        llara.LASTFM.read({**lastfm, "test": steam["test"]}, settings())
    with pytest.raises(RecloraError, match="an item without a name"):
        llara.STEAM.read({**steam, "test": lastfm["test"]}, settings())


def test_every_published_movielens_row_is_the_end_of_one_users_behaviours(real_data: Path) -> None:
    """The reader refuses a row of none or of several users: this is what it verified."""
    found = MOVIELENS.read(MOVIELENS.find_files(real_data), settings(rated_from=3.0))
    users = {name: set(rows.user.tolist()) for name, rows in found.splits.items()}
    assert {name: len(of) for name, of in users.items()} == {"train": 754, "valid": 94, "test": 95}
    assert len(users["train"] | users["valid"] | users["test"]) == 943
    ratings = pd.read_csv(
        real_data / "ml-100k" / "u.data", sep="\t", names=["user", "item", "rating", "time"]
    )
    began = ratings.groupby("user")["time"].min()
    first, last = (
        [began[[*users[name]]].agg(end) for name in ("train", "valid", "test")]
        for end in ("min", "max")
    )
    assert last[0] <= first[1]
    assert last[1] <= first[2]
    with pytest.raises(RecloraError, match="ends the behaviours of 0 users"):
        MOVIELENS.read(MOVIELENS.find_files(real_data), settings(rated_from=None))


# -- prepared interactions --------------------------------------------------------------------


def by_hand(
    store: InteractionsStore, ties: str, least: float | None
) -> list[tuple[int, int, int, list[int]]]:
    """(time, user, target, history) of every behaviour that has one, in global order."""
    found = []
    for user in range(store.header.users):
        behaviours = [
            (int(store.time[at]), int(store.item[at]))
            for at in range(store.user_start[user], store.user_start[user + 1])
            if least is None or store.header.rating_values[store.rating[at]] >= least
        ]
        for at, (time, item) in enumerate(behaviours):
            before = [other for when, other in behaviours[:at] if ties == "include" or when < time]
            if before:
                found.append((time, user, item, before[-LENGTH:]))
    return sorted(found, key=lambda row: row[:3])


@pytest.mark.parametrize("ties", ["include", "exclude"])
@pytest.mark.parametrize("least", [None, 4.0])
def test_prepared_interactions_give_what_loops_give(
    tiny_world: TinyWorld, ties: str, least: float | None
) -> None:
    own = settings(rated_from=least, least_history=1)
    found = interactions.read(tiny_world.store, own, (8, 1, 1), ties)
    expected = by_hand(tiny_world.store, ties, least)
    got = [
        (int(time), int(user), target, history)
        for split in ("train", "valid", "test")
        for (history, target), user, time in zip(
            rows_of(found, split), found.splits[split].user, found.splits[split].time, strict=True
        )
    ]
    assert got == expected
    assert [len(rows) for rows in found.splits.values()] == [
        (at + 1) * len(expected) // 10 - at * len(expected) // 10 if at else 8 * len(expected) // 10
        for at in (0, 8, 9)
    ]


def test_the_past_of_a_row_holds_what_is_rated_too_low_as_well(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    found = interactions.read(store, settings(rated_from=4.0), (8, 1, 1), "include")
    rows = found.splits["test"]
    for row in range(len(rows)):
        start, end = store.user_start[rows.user[row]], store.user_start[rows.user[row] + 1]
        items = np.asarray(store.item[start:end]).tolist()
        assert found.past("test", row).tolist() == items[: items.index(rows.target[row])]

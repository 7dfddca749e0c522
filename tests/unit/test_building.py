"""Building out of core: pieces of any size give the same store; what is left out is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli import recipe
from reclora_cli.data.building import build
from reclora_cli.data.building.build import build_store
from reclora_cli.data.building.columns import ArrayWriter, Columns
from reclora_cli.data.building.csr import stable_order
from reclora_cli.data.building.distribute import distributed, even_bounds
from reclora_cli.data.building.keeping import k_core
from reclora_cli.data.building.vocabulary import Vocabulary
from reclora_cli.data.sources.base import RawDataset, whole
from reclora_cli.data.sources.ml_1m import SOURCE
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from tests.unit.data_oracle import Interaction, built, interactions, interactions_table, raw_dataset

DATA = recipe.load("ml-1m").data


@given(
    found=interactions(fewest=20),
    ties=st.sampled_from(["include", "exclude"]),
    piece=st.integers(1, 25),
)
def test_pieces_of_any_size_give_the_same_files(
    found: list[Interaction], ties: str, piece: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folders = [tmp_path_factory.mktemp("store") for _ in range(2)]
    built(found, folders[0], warm_up=0, ties=ties)
    built(found, folders[1], warm_up=0, ties=ties, piece=piece)
    files = [file for file in folders[0].rglob("*") if file.is_file()]
    assert len(files) > 12
    for file in files:
        twin = folders[1] / file.relative_to(folders[0])
        assert file.read_bytes() == twin.read_bytes(), file.name
    assert len(list(folders[1].iterdir())) == len(list(folders[0].iterdir())), "nothing else lies"


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=30), most=st.integers(1, 30))
def test_even_bounds_part_keys_into_ranges_that_fit(counts: list[int], most: int) -> None:
    bounds = even_bounds(np.array(counts), most).tolist()
    assert bounds == sorted(set(bounds))
    for start, stop in zip([0, *bounds], [*bounds, len(counts)], strict=True):
        assert stop > start
        assert sum(counts[start:stop]) <= most or stop == start + 1 or sum(counts[start:stop]) <= 9


@given(
    keys=st.lists(st.integers(0, 20), max_size=60),
    bounds=st.lists(st.integers(1, 20), unique=True, max_size=5).map(sorted),
    size=st.integers(1, 20),
)
def test_distribution_orders_buckets_and_keeps_the_order_within(
    keys: list[int], bounds: list[int], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dtype = np.dtype([("key", "<i4"), ("place", "<i4")])
    records = np.array([(key, at) for at, key in enumerate(keys)], dtype=dtype)
    folder = tmp_path_factory.mktemp("buckets")
    pieces = [records[start : start + size] for start in range(0, max(len(records), 1), size)]
    parts = list(distributed(pieces, "key", np.array(bounds, dtype=int), folder, dtype))
    bucket = np.searchsorted(bounds, records["key"], side="right")
    expected = records[np.argsort(bucket, kind="stable")]
    assert np.concatenate(parts).tolist() == expected.tolist()
    assert list(folder.iterdir()) == []


@given(
    ids=st.lists(st.one_of(st.just("b"), st.text(max_size=3)), max_size=40),
    size=st.integers(1, 9),
)
def test_vocabulary_codes_ids_by_first_appearance_and_keeps_their_first_line(
    ids: list[str], size: int
) -> None:
    vocabulary = Vocabulary()
    lines = np.arange(1, len(ids) + 1)
    codes = [
        vocabulary.encode(pa.array(ids[at : at + size], pa.string()), lines[at : at + size])
        for at in range(0, len(ids), size)
    ]
    first = list(dict.fromkeys(ids))
    assert [code for part in codes for code in part] == [first.index(one) for one in ids]
    for code, one in enumerate(first):
        assert vocabulary.first_line(code) == ids.index(one) + 1


def test_dense_ids_ascend_in_the_source_ids() -> None:
    vocabulary = Vocabulary()
    vocabulary.encode(pa.array([30, 4, 100, 7]), np.arange(4))
    ids, places = vocabulary.ranks(np.array([True, True, True, False]))
    assert ids.to_pylist() == [4, 30, 100]
    assert places.tolist() == [1, 0, 2, -1]


def _core(pairs: list[tuple[int, int]], k: int) -> list[bool]:
    """The k-core by hand: one removal at a time."""
    alive = [True] * len(pairs)
    while True:
        for at, pair in enumerate(pairs):
            counts = [
                sum(
                    alive[other] and pairs[other][side] == pair[side] for other in range(len(pairs))
                )
                for side in (0, 1)
            ]
            if alive[at] and min(counts) < k:
                alive[at] = False
                break
        else:
            return alive


@given(
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30),
    k=st.integers(1, 4),
)
def test_k_core_is_what_is_left_when_nothing_more_can_be_removed(
    pairs: list[tuple[int, int]], k: int
) -> None:
    users, items = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    found = k_core(users, items, np.ones(len(pairs), dtype=bool), k)
    assert found.tolist() == _core(pairs, k)


def test_interactions_outside_the_core_are_counted_and_their_users_and_items_gone(
    tmp_path: Path,
) -> None:
    dense = [
        Interaction(100 + 10 * user + item, user, item, 3 + item % 3)
        for user in range(1, 6)
        for item in range(1, 6)
    ]
    stray = [Interaction(90, 7, 1, 5), Interaction(91, 1, 9, 5)]
    settings = DATA.model_copy(update={"core": 5, "warm_up": 0})
    done = build_store(raw_dataset([*stray, *dense]), SOURCE, settings, tmp_path)
    store = InteractionsStore(tmp_path)
    assert done.left_out == {"outside the 5-core": 2}
    assert (done.read, store.header.behaviours) == (27, 25)
    assert store.users["user_id"].tolist() == store.items["item_id"].tolist() == [1, 2, 3, 4, 5]


def test_core_that_leaves_nothing_is_an_error_that_says_so(tmp_path: Path) -> None:
    found = [Interaction(100 + at, at % 3, at, 3) for at in range(12)]
    settings = DATA.model_copy(update={"core": 2})
    with pytest.raises(RecloraError, match=r"no interaction is left of 12 \(12 outside the 2-core"):
        build_store(raw_dataset(found), SOURCE, settings, tmp_path)


def _without_items(found: list[Interaction], *missing: int) -> RawDataset:
    raw = raw_dataset(found)
    kept = sorted({one.item for one in found} - set(missing))
    users = raw.users(pa.array(sorted({one.user for one in found})))
    return whole(interactions_table(found), users, raw.items(pa.array(kept)), Path("ratings.dat"))


def test_interactions_with_what_no_file_describes_are_dropped_and_counted(tmp_path: Path) -> None:
    found = [Interaction(100 + at, at % 3, at % 20, 1 + at % 5) for at in range(60)]
    dropping = type(SOURCE)(**{**vars(SOURCE), "undescribed": "drop"})
    done = build_store(_without_items(found, 7, 8), dropping, DATA, tmp_path)
    assert done.left_out == {"not described": 6}
    assert InteractionsStore(tmp_path).header.items == 18


def test_what_no_file_describes_is_an_error_that_names_its_first_line(tmp_path: Path) -> None:
    found = [Interaction(100 + at, at % 3, at % 20, 1 + at % 5) for at in range(60)]
    with pytest.raises(
        RecloraError, match="movie 7 is described nowhere, nor are 1 others"
    ) as caught:
        build_store(_without_items(found, 7, 8), SOURCE, DATA, tmp_path)
    assert caught.value.where == "ratings.dat:8"


def test_more_interactions_than_positions_can_number_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MOST_BEHAVIOURS", 50)
    found = [Interaction(100 + at, at % 3, at, 1 + at % 5) for at in range(60)]
    with pytest.raises(RecloraError, match="60 interactions: a store holds 50 at most"):
        build_store(raw_dataset(found), SOURCE, DATA, tmp_path)


def test_of_repeated_interactions_the_last_in_the_file_stays_and_they_are_counted(
    tmp_path: Path,
) -> None:
    found = [Interaction(100 + at, at % 3, at, 1 + at % 5) for at in range(60)]
    again = [Interaction(104, 1, 4, 2), Interaction(104, 1, 4, 3)]
    done = build_store(raw_dataset([*found, *again]), SOURCE, DATA, tmp_path)
    store = InteractionsStore(tmp_path)
    assert done.left_out == {"repeated": 2}
    [at] = np.flatnonzero((store.user == 1) & (store.time == 104))
    assert store.header.rating_values[store.rating[at]] == 3


def test_more_ratings_than_a_scale_has_are_refused(tmp_path: Path) -> None:
    found = [Interaction(100 + at, at % 3, at, 1) for at in range(300)]
    table = interactions_table(found).assign(rating=np.linspace(0, 1, 300))
    raw = raw_dataset(found)
    every = pa.array(range(300))
    users, items = raw.users(every), raw.items(every)
    scaleless = type(SOURCE)(**{**vars(SOURCE), "rating_values": None})
    with pytest.raises(RecloraError, match="more than 255 different ratings"):
        build_store(whole(table, users, items, Path("x.csv")), scaleless, DATA, tmp_path)


def test_a_scale_that_is_not_known_is_what_the_ratings_that_stay_are(tmp_path: Path) -> None:
    found = [Interaction(100 + at, at % 3, at % 20, [5, 1, 3][at % 3]) for at in range(60)]
    scaleless = type(SOURCE)(**{**vars(SOURCE), "rating_values": None})
    build_store(raw_dataset(found), scaleless, DATA, tmp_path)
    store = InteractionsStore(tmp_path)
    assert store.header.rating_values == (1.0, 3.0, 5.0)
    values = np.array(store.header.rating_values)[store.rating]
    assert values.tolist() == [5.0] * 20 + [1.0] * 20 + [3.0] * 20


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4), st.integers(0, 3)), max_size=40),
    far=st.booleans(),
)
def test_stable_order_is_that_of_sorting_tuples(
    rows: list[tuple[int, int, int]], far: bool
) -> None:
    if far:  # ranges too wide for one number
        rows = [(one * 2**40, two * 2**40, three) for one, two, three in rows]
    keys = [np.array([row[at] for row in rows], dtype=np.int64) for at in range(3)]
    assert stable_order(*keys).tolist() == sorted(range(len(rows)), key=lambda at: rows[at])


def test_array_written_in_pieces_is_what_numpy_reads(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    with ArrayWriter(file, np.int32) as out:
        for start in range(0, 100, 7):
            out.append(np.arange(start, min(start + 7, 100)))
    assert np.load(file, mmap_mode="r").tolist() == list(range(100))


def test_columns_come_back_in_pieces_in_order(tmp_path: Path) -> None:
    dtype = np.dtype([("a", "<i4"), ("b", "u1")])
    columns = Columns(tmp_path / "c", dtype)
    records = np.array([(at, at % 3) for at in range(50)], dtype=dtype)
    columns.append(records[:20])
    columns.append(records[20:])
    assert len(columns) == 50
    assert [len(piece) for piece in columns.pieces(20)] == [20, 20, 10]
    assert pd.DataFrame(columns.read()).equals(pd.DataFrame(records))

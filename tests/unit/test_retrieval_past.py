"""Pasts by similarity: all rows in a file, or ranked when asked. Both are equal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reclora_cli.data.store import InteractionsStore
from reclora_cli.retrieval import ranked as ranked_module
from reclora_cli.retrieval import ranked_file
from reclora_cli.retrieval.past import RankedPast, rows_asked
from reclora_cli.retrieval.ranked import Ranker, rank_past
from reclora_cli.retrieval.ranked_file import PARTIAL, PARTIAL_TOLD, RANKED, write_ranked
from tests.world import TinyWorld

K = 8

_KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from reclora_cli.data.store import InteractionsStore
from reclora_cli.retrieval import ranked, ranked_file
from reclora_cli.retrieval.past import rows_asked
store, folder, seconds = InteractionsStore(Path(sys.argv[1])), Path(sys.argv[2]), float(sys.argv[3])
ranked.BLOCK_ROWS, ranked_file.SAVE_SECONDS = 50, seconds
class Killed(ranked.Ranker):
    def in_blocks(self, asked, k, first=0):
        for at, (start, block) in enumerate(super().in_blocks(asked, k, first)):
            if at == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            yield start, block
ranker = Killed(np.load(folder / "reduced.npy"), store.item, store.user_start)
ranked_file.write_ranked(ranker, rows_asked(store, slice(None)), 8, folder, "one")
"""


class Heard:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    task = staticmethod(ranked_file.SILENT.task)

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.said.append(message)


def vectors_of(store: InteractionsStore) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(store.header.items, 5)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture
def store(tiny_world: TinyWorld) -> InteractionsStore:
    return tiny_world.store


@pytest.fixture
def ranker(store: InteractionsStore) -> Ranker:
    return Ranker(vectors_of(store), store.item, store.user_start)


def every_row(store: InteractionsStore) -> np.ndarray:
    return rank_past(
        vectors_of(store), store.item, store.user_start, store.row_position, store.history_end, K
    )


def test_the_file_holds_every_row_in_row_order(store, ranker, tmp_path):
    file = write_ranked(ranker, rows_asked(store, slice(None)), K, tmp_path, "one")
    found = np.load(file)
    assert (file, found.dtype) == (tmp_path / RANKED, np.int32)
    assert np.array_equal(found, every_row(store))
    assert [path.name for path in tmp_path.iterdir()] == [RANKED]


def test_no_rows_give_an_empty_file(store, ranker, tmp_path):
    asked = rows_asked(store, np.empty(0, dtype=np.int64))
    assert np.load(write_ranked(ranker, asked, K, tmp_path, "one")).shape == (0, K)


@pytest.mark.parametrize("rows_at_once", [1, 33])
def test_rows_are_put_in_order_some_at_a_time(store, ranker, tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(ranked_file, "_PUT_AT_ONCE", rows_at_once)
    file = write_ranked(ranker, rows_asked(store, slice(None)), K, tmp_path, "one")
    assert np.array_equal(np.load(file), every_row(store))


@pytest.mark.parametrize(("seconds", "kept"), [(0.0, 200), (1e9, 0)])
def test_a_run_killed_with_signal_9_goes_on_at_what_it_saved(
    store, ranker, tmp_path, seconds, kept
):
    np.save(tmp_path / "reduced.npy", vectors_of(store))
    command = [sys.executable, "-c", _KILLED, str(store.folder), str(tmp_path), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run(command, env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / RANKED).exists()
    heard = Heard()
    write_ranked(ranker, rows_asked(store, slice(None)), K, tmp_path, "one", heard)
    told = [f"ranking goes on at row {kept} of {len(store):,}"] if kept else []
    assert heard.said == told
    assert np.array_equal(np.load(tmp_path / RANKED), every_row(store))


def _stopped(store, ranker, folder, monkeypatch) -> None:
    """Rank some blocks into ``folder``, and stop."""

    class StoppedError(Exception):
        pass

    def some(asked, k, first=0):
        for at, block in enumerate(Ranker.in_blocks(ranker, asked, k, first)):
            if at == 3:
                raise StoppedError
            yield block

    with monkeypatch.context() as patch:
        patch.setattr(ranked_module, "BLOCK_ROWS", 40)
        patch.setattr(ranked_file, "SAVE_SECONDS", 0.0)
        patch.setattr(ranker, "in_blocks", some)
        with pytest.raises(StoppedError):
            write_ranked(ranker, rows_asked(store, slice(None)), K, folder, "one")


def test_what_was_torn_after_the_last_save_is_ranked_again(store, ranker, tmp_path, monkeypatch):
    _stopped(store, ranker, tmp_path, monkeypatch)
    with (tmp_path / PARTIAL).open("ab") as file:
        file.write(b"torn")
    write_ranked(ranker, rows_asked(store, slice(None)), K, tmp_path, "one")
    assert np.array_equal(np.load(tmp_path / RANKED), every_row(store))


def test_what_is_of_other_vectors_is_begun_anew(store, ranker, tmp_path, monkeypatch):
    _stopped(store, ranker, tmp_path, monkeypatch)
    heard = Heard()
    write_ranked(ranker, rows_asked(store, slice(None)), K, tmp_path, "another", heard)
    assert heard.said == []
    assert np.array_equal(np.load(tmp_path / RANKED), every_row(store))


@pytest.mark.parametrize("broken", ["shorter than told", "unreadable", "nothing told"])
def test_a_damaged_partial_file_is_begun_anew(store, ranker, tmp_path, monkeypatch, broken):
    _stopped(store, ranker, tmp_path, monkeypatch)
    if broken == "shorter than told":
        os.truncate(tmp_path / PARTIAL, 5)
    elif broken == "unreadable":
        (tmp_path / PARTIAL_TOLD).write_text("{")
    else:
        (tmp_path / PARTIAL_TOLD).unlink()
    write_ranked(ranker, rows_asked(store, slice(None)), K, tmp_path, "one")
    assert np.array_equal(np.load(tmp_path / RANKED), every_row(store))


def test_rows_ranked_when_asked_equal_the_file(store):
    stored = RankedPast(store, vectors_of(store), K, every_row(store))
    asked = RankedPast(store, vectors_of(store), K)
    rows = np.random.default_rng(1).permutation(len(store))[:90]
    assert np.array_equal(asked.of(rows), stored.of(rows))
    every = np.arange(len(store))
    assert np.array_equal(asked.of(every), stored.of(every))  # now with vectors kept ready
    assert np.array_equal(asked.of(rows[:1]), stored.of(rows[:1]))


def test_the_recipe_says_whether_the_file_is_read(tiny_world, store, tmp_path):
    np.save(tmp_path / "reduced.npy", vectors_of(store))
    retriever = tiny_world.recipe.retriever
    needed = RankedPast.open(tmp_path, store, retriever.model_copy(update={"rows": "needed"}))
    assert np.array_equal(needed.of(np.arange(5)), every_row(store)[:5])
    np.save(tmp_path / RANKED, np.full((len(store), K), 3, dtype=np.int32))
    stored = RankedPast.open(tmp_path, store, retriever)
    assert (stored.of(np.arange(5)) == 3).all()


def test_a_file_of_another_store_is_our_own_mistake(store):
    with pytest.raises(AssertionError, match="another store"):
        RankedPast(store, vectors_of(store), K, every_row(store)[:-1])

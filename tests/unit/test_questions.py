"""Questions: what may be read for a stored row, and for a pair asked about now."""

from __future__ import annotations

import numpy as np

from reclora_cli.data import histories
from reclora_cli.retrieval.past import RankedPast
from reclora_cli.retrieval.ranked import rank_past
from reclora_cli.scoring.questions import Questions
from tests.unit.data_oracle import Interaction, built


def vectors_of(store, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(store.header.items, 5)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_recent_behaviours_of_stored_rows_are_those_of_the_histories(tiny_world) -> None:
    store = tiny_world.store
    rows = np.arange(len(store))
    questions = Questions.of_rows(store, rows)
    np.testing.assert_array_equal(questions.recent(store, 7), histories.recent(store, rows, 7))


def test_ranking_now_equals_what_the_index_stores(tiny_world) -> None:
    store, vectors = tiny_world.store, vectors_of(tiny_world.store)
    rows = np.arange(len(store))
    stored = rank_past(
        vectors, store.item, store.user_start, store.row_position[rows], store.history_end[rows], 9
    )
    known = Questions.of_rows(store, rows)
    asked_now = Questions(known.users, known.items, known.ends)
    past = RankedPast(store, vectors, 9, stored)
    np.testing.assert_array_equal(asked_now.retrieved(past, 9), known.retrieved(past, 9))


def test_an_item_never_rated_may_read_everything_the_user_did(tiny_world) -> None:
    store, user = tiny_world.store, 3
    start, end = int(store.user_start[user]), int(store.user_start[user + 1])
    new = int(np.setdiff1d(np.arange(store.header.items), store.item[start:end])[0])
    questions = Questions.of_user(store, user, np.array([new]))
    assert questions.ends.tolist() == [end]
    found = questions.retrieved(RankedPast(store, vectors_of(store), 5), 5)[0]
    assert found.tolist() == sorted(found)
    assert ((found >= start) & (found < end)).all()


def test_an_item_rated_before_is_asked_about_as_it_stood_then(tiny_world) -> None:
    store, user = tiny_world.store, 3
    position = int(store.user_start[user]) + 4
    questions = Questions.of_user(store, user, np.array([store.item[position]]))
    assert questions.ends.tolist() == [position]


def test_where_ties_are_excluded_an_item_rated_before_is_asked_about_before_its_second(
    tmp_path,
) -> None:
    found = [Interaction(100 + at // 3, 1, 1 + at, 3) for at in range(15)]
    store = built(found, tmp_path, warm_up=0, ties="exclude")
    questions = Questions.of_user(store, 0, np.arange(15))
    assert questions.ends.tolist() == [at - at % 3 for at in range(15)]

"""Ranked pasts against a row-by-row oracle: exact, causal, ties by recency."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli.retrieval import ranked as ranked_module
from reclora_cli.retrieval import similarity
from reclora_cli.retrieval.ranked import Asked, Ranker, rank_past, rank_questions
from reclora_cli.retrieval.similarity import Similarity, codes


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def world(seed=0, users=12, items=25, longest=40, dimensions=6):
    """Users with 1 .. longest behaviours; items 0 and 1 share one vector."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, longest, users)
    user_start = np.concatenate([[0], np.cumsum(lengths)])
    item = draw.integers(0, items, user_start[-1]).astype(np.int32)
    vectors = unit(draw.normal(size=(items, dimensions)))
    vectors[1] = vectors[0]
    positions = draw.permutation(user_start[-1])
    return vectors, item, user_start, positions


def row_by_row(vectors, item, user_start, positions, ends, k):
    """Sort each row's past by (-cosine, -position), one row at a time."""
    exact = vectors.astype(np.float64)
    found = []
    for position, end in zip(positions, ends, strict=True):
        start = user_start[np.searchsorted(user_start, position, side="right") - 1]
        cosine = {
            p: float(np.dot(exact[item[position]], exact[item[p]])) for p in range(start, end)
        }
        best = sorted(cosine, key=lambda p: (-round(cosine[p], 11), -p))[:k]
        found.append(best + [-1] * (k - len(best)))
    return np.array(found)


@pytest.mark.parametrize("k", [1, 7, 60])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_ranking_row_by_row(k, seed):
    vectors, item, user_start, positions = world(seed)
    expected = row_by_row(vectors, item, user_start, positions, positions, k)
    found = rank_past(vectors, item, user_start, positions, positions, k)
    assert found.dtype == np.int32
    assert np.array_equal(found, expected)


def test_history_ends_before_the_row_where_ties_are_excluded():
    vectors, item, user_start, positions = world()
    start = user_start[np.searchsorted(user_start, positions, side="right") - 1]
    ends = np.maximum(positions - 3, start)
    found = rank_past(vectors, item, user_start, positions, ends, 60)
    assert np.array_equal(found, row_by_row(vectors, item, user_start, positions, ends, 60))
    assert (found < ends[:, None]).all()


@pytest.mark.parametrize(
    "limits",
    [
        {"BLOCK_ROWS": 7},
        {"_CELLS": 90, "_CHUNK_ROWS": 1},
        {"_GATHERED": 11, "_CHUNK_ROWS": 3, "_CELLS": 1},
    ],
    ids=["blocks of a few rows", "chunks of a few rows", "pasts in pieces"],
)
@pytest.mark.parametrize("k", [5, 60])
def test_ranks_the_same_however_the_work_is_cut(monkeypatch, limits, k):
    vectors, item, user_start, positions = world()
    whole = rank_past(vectors, item, user_start, positions, positions, k)
    for name, value in limits.items():
        monkeypatch.setattr(ranked_module, name, value)
    assert np.array_equal(rank_past(vectors, item, user_start, positions, positions, k), whole)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_ranks_the_same_whatever_the_number_of_threads(monkeypatch, workers):
    vectors, item, user_start, positions = world(users=40)
    whole = rank_past(vectors, item, user_start, positions, positions, 9)
    monkeypatch.setattr(ranked_module, "worker_count", lambda: workers)
    monkeypatch.setattr(ranked_module, "BLOCK_ROWS", 16)
    assert np.array_equal(rank_past(vectors, item, user_start, positions, positions, 9), whole)


@given(st.integers(0, 10**6), st.integers(1, 70), st.integers(1, 9), st.sampled_from([1, 4, 400]))
def test_any_world_is_ranked_as_row_by_row(seed, k, users, few_items):
    """Few items make many equal cosines, which recency decides."""
    vectors, item, user_start, positions = world(seed, users, items=few_items + 1, longest=30)
    asked = positions[: np.random.default_rng(seed).integers(1, len(positions) + 1)]
    expected = row_by_row(vectors, item, user_start, asked, asked, k)
    assert np.array_equal(rank_past(vectors, item, user_start, asked, asked, k), expected)


@pytest.mark.parametrize("kept", [True, False])
def test_vectors_kept_on_the_grid_or_read_anew_rank_the_same(monkeypatch, kept):
    vectors, item, user_start, positions = world()
    expected = row_by_row(vectors, item, user_start, positions, positions, 60)
    monkeypatch.setattr(similarity, "KEPT_BYTES", 2**30 if kept else 0)
    ranker = Ranker(vectors, item, user_start)
    asked = Asked.of_rows(item, user_start, positions, positions)
    for _ in range(2):  # the second time, many rows have been asked about
        assert np.array_equal(ranker.rank(asked, 60), expected)


def test_vectors_may_be_memory_mapped(tmp_path):
    vectors, item, user_start, positions = world()
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    found = rank_past(mapped, item, user_start, positions, positions, 8)
    assert np.array_equal(found, rank_past(vectors, item, user_start, positions, positions, 8))


def test_ranks_are_those_of_integer_cosines_down_to_their_step():
    """Two behaviours whose cosines differ by less than 2^-37 are equal: the later one wins."""
    near = np.float32(0.6)
    vectors = np.array([[1, 0], [near, 0.8], [near + np.float32(2**-24), 0.8]], dtype=np.float32)
    item = np.array([2, 1, 0], dtype=np.int32)
    found = rank_past(vectors, item, np.array([0, 3]), np.array([2]), np.array([2]), 2)
    assert found.tolist() == [[0, 1]]  # a step of 2^-24 is told apart
    vectors[2, 0] = near + np.float32(2**-30)  # lost in float32 itself
    found = rank_past(vectors, item, np.array([0, 3]), np.array([2]), np.array([2]), 2)
    assert found.tolist() == [[1, 0]]


def test_of_equal_cosines_the_more_recent_comes_first():
    vectors = unit(np.array([[1.0, 0], [1.0, 0], [0, 1.0]]))
    item = np.array([0, 2, 1, 0, 1], dtype=np.int32)
    found = rank_past(vectors, item, np.array([0, 5]), np.array([4]), np.array([4]), 6)
    assert found.tolist() == [[3, 2, 0, 1, -1, -1]]


def test_a_question_about_any_item_after_all_behaviours_ranks_the_same_way():
    vectors, item, user_start, _ = world()
    users, targets = np.array([3, 0, 3]), np.array([7, 7, 2])
    ends = user_start[users + 1]
    found = rank_questions(vectors, item, user_start, users, targets, ends, 60)
    for row, (user, target) in enumerate(zip(users, targets, strict=True)):
        past = range(user_start[user], user_start[user + 1])
        cosine = {p: round(float(vectors[item[p]] @ vectors[target]), 5) for p in past}
        read = [cosine[p] for p in found[row] if p >= 0]
        assert read == sorted(cosine.values(), reverse=True)[:60]


def test_no_rows_give_no_ranks():
    vectors, item, user_start, _ = world()
    none = np.array([], dtype=np.int64)
    assert rank_past(vectors, item, user_start, none, none, 4).shape == (0, 4)


def test_a_row_without_past_gets_only_padding():
    vectors, item, user_start, _ = world()
    first = user_start[:-1]
    assert (rank_past(vectors, item, user_start, first, first, 3) == -1).all()


def test_rows_of_one_user_never_reach_another_user():
    vectors, item, user_start, positions = world()
    found = rank_past(vectors, item, user_start, positions, positions, 60)
    owner = np.searchsorted(user_start, positions, side="right") - 1
    reached = np.searchsorted(user_start, found, side="right") - 1
    assert (reached == owner[:, None])[found >= 0].all()


def test_the_first_of_more_are_the_best_of_fewer():
    vectors, item, user_start, positions = world()
    ten = rank_past(vectors, item, user_start, positions, positions, 10)
    thirty = rank_past(vectors, item, user_start, positions, positions, 30)
    assert np.array_equal(thirty[:, :10], ten)


def test_writes_into_the_array_it_is_given(tmp_path):
    vectors, item, user_start, positions = world()
    shape = (len(positions), 4)
    file = np.lib.format.open_memmap(tmp_path / "r.npy", mode="w+", dtype=np.int32, shape=shape)
    rank_past(vectors, item, user_start, positions, positions, 4, out=file)
    file.flush()
    expected = rank_past(vectors, item, user_start, positions, positions, 4)
    assert np.array_equal(np.load(tmp_path / "r.npy"), expected)


@pytest.mark.parametrize("keep", [True, False])
def test_keys_are_those_of_whole_numbers_in_any_block_shape(keep):
    vectors = unit(np.random.default_rng(5).normal(size=(70, 33)))
    every = np.arange(70)
    grid = np.rint(vectors.astype(np.float64) * 2**26).astype(object)  # Python's whole numbers
    exact = (((grid @ grid.T).astype(np.int64) >> 15) + 2**38) << 23
    past = Similarity(vectors, keep=keep).past(every)
    assert np.array_equal(past.keys(every, 70), exact)
    assert np.array_equal(past.own_keys(0, 70, 70), exact)
    assert np.array_equal(past.own_keys(9, 20, 19), exact[9:20, :19])
    for target in every:
        assert np.array_equal(past.keys(every[target : target + 1], 31), exact[[target], :31])


def test_codes_grow_with_the_cosine_down_to_their_step():
    vectors = unit(np.random.default_rng(6).normal(size=(50, 16)))
    exact = vectors.astype(np.float64)
    every = np.arange(50)
    found = codes(Similarity(vectors).past(every).keys(every, 50))
    cosines = (found - 2**38) * 2.0**-37
    assert np.abs(cosines - exact @ exact.T).max() < 1e-7
    assert found.min() >= 0
    assert found.max() < 2**39


@pytest.mark.parametrize("exponent", [-40, -27, -26, -24, -10, -4, -3, -2])
def test_rounding_to_the_grid_in_float32_loses_nothing(exponent):
    draw = np.random.default_rng(exponent + 100)
    values = (draw.uniform(1, 2, 4_000) * 2.0**exponent).astype(np.float32) / np.float32(2)
    found = Similarity(values[:, None], keep=True).grid(np.arange(4_000))[:, 0]
    assert np.array_equal(found, np.rint(values.astype(np.float64) * 2**26) * 2**4)


def test_ml_1m_would_be_ranked_well_within_a_minute():
    draw = np.random.default_rng(0)
    user_start = np.arange(0, 60_001, 300)
    item = draw.integers(0, 3_706, 60_000).astype(np.int32)
    vectors = unit(draw.normal(size=(3_706, 64)))
    positions = np.arange(60_000)
    rank_past(vectors, item, user_start, positions[:300], positions[:300], 60)
    start = time.process_time()
    rank_past(vectors, item, user_start, positions, positions, 60)
    assert (time.process_time() - start) * 970_009 / 60_000 < 60

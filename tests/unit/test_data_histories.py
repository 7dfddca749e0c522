"""Histories are the strict past, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reclora_cli.data.histories import NO_POSITION, in_time_order, recent
from tests.unit.data_oracle import (
    Interaction,
    at_position,
    built,
    history,
    interactions,
    target_rows,
)
from tests.world import TinyWorld


@given(found=interactions(), ties=st.sampled_from(["include", "exclude"]))
def test_history_range_is_the_strict_past_row_by_row(
    found: list[Interaction], ties: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = target_rows(found, warm_up=1)
    assume(len(rows) >= 10)
    store = built(found, tmp_path_factory.mktemp("store"), warm_up=1, ties=ties)
    starts, ends = store.history_bounds(np.arange(len(store)))
    for row, start, end in zip(rows, starts, ends, strict=True):
        assert [at_position(store, at) for at in range(start, end)] == history(found, row, ties)


@given(found=interactions(), ties=st.sampled_from(["include", "exclude"]), k=st.integers(0, 6))
def test_recent_behaviours_are_the_last_of_the_history_in_time_order(
    found: list[Interaction], ties: str, k: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = target_rows(found, warm_up=1)
    assume(len(rows) >= 10)
    store = built(found, tmp_path_factory.mktemp("store"), warm_up=1, ties=ties)
    positions = recent(store, np.arange(len(store)), k)
    assert positions.shape == (len(rows), k)
    for row, shown in zip(rows, positions, strict=True):
        expected = history(found, row, ties)[-k:] if k else []
        assert [at_position(store, at) for at in shown[: len(expected)]] == expected
        assert (shown[len(expected) :] == NO_POSITION).all()


def test_recent_behaviours_of_chosen_rows_are_those_rows_own(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    chosen = np.array([5, 400, 17, 400])
    np.testing.assert_array_equal(
        recent(store, chosen, 7), recent(store, np.arange(len(store)), 7)[chosen]
    )


def test_ranked_behaviours_are_put_in_time_order() -> None:
    ranked = np.array([[9, 3, 7, 5], [4, -1, -1, -1], [-1, -1, -1, -1], [0, 2, 1, -1]])
    expected = [[3, 7, 9], [4, -1, -1], [-1, -1, -1], [0, 1, 2]]
    assert in_time_order(ranked, 3).tolist() == expected


@given(
    ranked=st.lists(st.permutations(range(6)), min_size=1, max_size=5),
    filled=st.integers(0, 6),
    k=st.integers(0, 6),
)
def test_time_order_keeps_exactly_the_best(ranked: list[list[int]], filled: int, k: int) -> None:
    padded = np.array([[*row[:filled], *[-1] * (6 - filled)] for row in ranked])
    for row, ordered in zip(ranked, in_time_order(padded, k), strict=True):
        kept = sorted(row[:filled][:k])
        assert ordered.tolist() == kept + [-1] * (k - len(kept))


def test_asking_for_more_than_was_ranked_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        in_time_order(np.zeros((2, 3), dtype=np.int64), 4)

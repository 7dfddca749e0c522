"""Candidates: the truth once, nothing of the past, drawn once."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.data.sequences.candidates import draw_candidates
from reclora_cli.errors import RecloraError
from reclora_cli.seeding import numpy_stream

ITEMS, COUNT = 40, 20


def drawn(targets: list[int], past: list[list[int]], items: int = ITEMS, draw: int = 0):
    return draw_candidates(
        np.array(targets),
        lambda row: np.array(past[row], dtype=int),
        items,
        COUNT,
        numpy_stream(draw, "candidates"),
        where="here",
    )


def test_each_row_has_its_target_once_and_no_item_twice() -> None:
    found = drawn([3, 7, 39], [[1], [], [0, 38]])
    assert found.shape == (3, COUNT)
    assert found.dtype == np.int32
    for row, target in zip(found.tolist(), [3, 7, 39], strict=True):
        assert row.count(target) == 1
        assert len(set(row)) == COUNT
        assert all(0 <= item < ITEMS for item in row)


@pytest.mark.parametrize("items", [ITEMS, 4000])
def test_no_other_candidate_is_of_the_past(items: int) -> None:
    past = list(range(10, 28))
    for row in drawn([5] * 50, [past] * 50, items).tolist():
        assert not {*row} & {*past}


def test_a_target_that_was_had_before_is_still_a_candidate() -> None:
    assert (drawn([5], [[5, 6]]) == 5).sum() == 1


def test_the_truth_stands_at_every_place_about_as_often() -> None:
    rows = 4000
    found = drawn([5] * rows, [[]] * rows, 400)
    places = np.bincount((found == 5).argmax(axis=1), minlength=COUNT)
    assert places.min() > 130
    assert places.max() < 280


@pytest.mark.parametrize("items", [30, 400])
def test_every_item_is_drawn_about_as_often(items: int) -> None:
    rows = 3000
    counts = np.bincount(drawn([0] * rows, [[1]] * rows, items).ravel(), minlength=items)
    expected = rows * (COUNT - 1) / (items - 2)
    assert counts[0] == rows
    assert counts[1] == 0
    assert abs(counts[2:] - expected).max() < 6 * np.sqrt(expected)


def test_the_same_draw_is_the_same_and_another_is_another() -> None:
    past = [[1], [2]]
    assert (drawn([3, 4], past) == drawn([3, 4], past)).all()
    assert (drawn([3, 4], past) != drawn([3, 4], past, draw=1)).any()


def test_nineteen_that_are_left_are_all_taken() -> None:
    row = drawn([0], [[*range(20, 40)]])[0]
    assert sorted(row.tolist()) == list(range(20))


def test_fewer_than_nineteen_are_an_error_that_counts_them() -> None:
    with pytest.raises(RecloraError, match="leaves 18 of 40 items to draw 19 candidates") as told:
        drawn([0], [[*range(19, 40)]])
    assert "next.candidates" in str(told.value)

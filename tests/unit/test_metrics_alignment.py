"""Cosines between gradients of groups of rows, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reclora_cli.errors import RecloraError
from reclora_cli.metrics import student
from reclora_cli.metrics.alignment import Gradients, cosines, difference

# Three groups, two batches of one row each, in the plane.
HAND = np.array([[1, 0], [1, 0], [0, 2], [0, 4], [3, 3], [1, 1]], dtype=float)
ONE_EACH = np.ones((3, 2))


def of(gradients: np.ndarray, rows: np.ndarray) -> Gradients:
    return Gradients(gradients @ gradients.T, rows)


def test_cosines_of_gradients_by_hand() -> None:
    found = of(HAND, ONE_EACH).aligned(0.95)
    half = 1 / math.sqrt(2)
    assert np.array(found.cosines) == pytest.approx(
        np.array([[1, 0, half], [0, 1, half], [half, half, 1]])
    )
    assert found.between.value == pytest.approx(2 * half / 3)
    assert found.within == pytest.approx(1)


def test_opposite_gradients_have_cosine_minus_one() -> None:
    assert cosines(np.array([[4.0, -6.0], [-6.0, 9.0]])) == pytest.approx(
        np.array([[1.0, -1.0], [-1.0, 1.0]])
    )


def test_a_group_is_the_mean_of_its_rows_whatever_the_batches() -> None:
    """Batches of 3 and 1 rows: the mean weighs them so."""
    gradients = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], dtype=float)
    found = of(gradients, np.array([[3, 1], [1, 1]])).aligned(0.95)
    assert found.cosines[0][1] == pytest.approx(3 / math.sqrt(10))


def test_a_groups_rows_given_twice_change_nothing() -> None:
    once = of(HAND, ONE_EACH).aligned(0.95)
    twice = of(HAND, np.array([[1, 1], [2, 2], [1, 1]])).aligned(0.95)
    assert np.array(twice.cosines) == pytest.approx(np.array(once.cosines))
    assert twice.between.value == pytest.approx(once.between.value)


def test_the_interval_is_the_jackknifes() -> None:
    """Left out one batch, the mean cosines are a and b: the error is |a - b| / 2 of two batches."""
    gradients = np.array([[1, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
    found = of(gradients, np.ones((2, 2))).aligned(0.95)
    a, b = 1 / math.sqrt(2), 1.0
    reach = 12.7062 * abs(a - b) / 2
    value = (1 * 2 + 1 * 1) / (math.sqrt(2) * math.sqrt(5))
    assert found.between.value == pytest.approx(value)
    assert found.between.low == pytest.approx(value - reach, abs=1e-4)
    assert found.between.high == pytest.approx(value + reach, abs=1e-4)


def test_equal_gradients_differ_by_nothing_and_are_not_significant() -> None:
    ours = of(HAND, ONE_EACH)
    found = difference(ours, of(7 * HAND, ONE_EACH), 0.95, 0.01)
    assert found.value == pytest.approx(0)
    assert not found.significant


def test_noise_within_a_group_is_told() -> None:
    gradients = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], dtype=float)
    assert of(gradients, np.ones((2, 2))).within() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("products", "rows"),
    [
        (np.eye(2), np.ones((2, 1))),
        (np.eye(2), np.ones((1, 2))),
        (np.eye(3), np.ones((2, 2))),
        (np.zeros((4, 4)), np.ones((2, 2))),
        (np.full((4, 4), np.nan), np.ones((2, 2))),
    ],
)
def test_what_has_no_cosine_is_refused(products: np.ndarray, rows: np.ndarray) -> None:
    with pytest.raises(RecloraError):
        Gradients(products, rows)


@pytest.mark.parametrize(
    ("freedom", "tabulated"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (7, 2.3646), (30, 2.0423)]
)
def test_students_t_is_as_tabulated(freedom: int, tabulated: float) -> None:
    assert student.quantile(0.95, freedom) == pytest.approx(tabulated, abs=1e-4)
    assert student.within(tabulated, freedom) == pytest.approx(0.95, abs=1e-5)

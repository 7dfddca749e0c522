"""A PCA fitted on anything but the items seen in training is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reclora_cli.data.audit.reduction import (
    AXES,
    MEAN,
    REDUCED,
    StoredReduction,
    reduction_is_fitted_on,
)
from reclora_cli.retrieval.pca import Reduction

ITEMS, WIDTH, KEPT = 4_000, 24, 8


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """As an LM's: one large direction shared by all, falling variances."""
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(ITEMS, WIDTH)) * 2.0 ** -np.arange(WIDTH)
    return (spread @ np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0] + 30).astype(np.float32)


@pytest.fixture(scope="module")
def seen() -> np.ndarray:
    """All items but one."""
    return np.arange(ITEMS) != 1_234


def stored(vectors: np.ndarray, fitted_on: np.ndarray) -> StoredReduction:
    pca = Reduction.fit(vectors, fitted_on, KEPT)
    return mixed(vectors, pca.mean, pca.components)


def mixed(vectors: np.ndarray, mean: np.ndarray, components: np.ndarray) -> StoredReduction:
    reduced = Reduction(mean, components, 1.0).transform(vectors)
    return StoredReduction(vectors, mean, components, reduced)


def broken(of: StoredReduction, seen: np.ndarray) -> set[str]:
    return {check.name for check in reduction_is_fitted_on(of, seen) if not check.held}


def test_a_pca_of_the_items_seen_holds(vectors: np.ndarray, seen: np.ndarray) -> None:
    assert broken(stored(vectors, seen), seen) == set()


def test_a_pca_that_read_one_unseen_item_of_thousands_is_found(
    vectors: np.ndarray, seen: np.ndarray
) -> None:
    assert broken(stored(vectors, np.ones(ITEMS, dtype=bool)), seen) == {MEAN, AXES}


def test_a_pca_that_left_out_an_item_seen_is_found(vectors: np.ndarray, seen: np.ndarray) -> None:
    assert broken(stored(vectors, seen & (np.arange(ITEMS) != 7)), seen) == {MEAN, AXES}


def test_axes_of_all_items_around_an_honest_mean_are_found(
    vectors: np.ndarray, seen: np.ndarray
) -> None:
    honest, leaky = stored(vectors, seen), stored(vectors, np.ones(ITEMS, dtype=bool))
    assert broken(mixed(vectors, honest.mean, leaky.components), seen) == {AXES}


def test_a_mean_of_all_items_with_honest_axes_is_found(
    vectors: np.ndarray, seen: np.ndarray
) -> None:
    honest, leaky = stored(vectors, seen), stored(vectors, np.ones(ITEMS, dtype=bool))
    assert broken(mixed(vectors, leaky.mean, honest.components), seen) == {MEAN}


def test_reduced_vectors_of_another_pca_are_found(vectors: np.ndarray, seen: np.ndarray) -> None:
    honest = stored(vectors, seen)
    other = honest.reduced.copy()
    other[17] = other[18]
    assert broken(replace(honest, reduced=other), seen) == {REDUCED}
    other[17] = np.nan
    assert broken(replace(honest, reduced=other), seen) == {REDUCED}


def test_axes_out_of_order_are_found(vectors: np.ndarray, seen: np.ndarray) -> None:
    honest = stored(vectors, seen)
    turned = replace(
        honest, components=honest.components[::-1], reduced=honest.reduced[:, ::-1].copy()
    )
    assert broken(turned, seen) == {AXES}


def test_arrays_that_do_not_fit_each_other_are_named(vectors: np.ndarray, seen: np.ndarray) -> None:
    [check] = reduction_is_fitted_on(replace(stored(vectors, seen), mean=np.zeros(3)), seen)
    assert not check.held
    assert "mean is (3,), not (24,)" in check.detail

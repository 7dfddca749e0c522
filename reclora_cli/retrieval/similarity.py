"""Cosines that come out the same on every machine, in every batch shape.

A floating-point product sums in an order that depends on the library and on the block's shape,
so equal items can differ in the last bit and ties fall differently from run to run. Here unit
vectors are laid on a grid of 2^-26 (finer than float32) as whole numbers in float64: every
product and partial sum is below 2^53, hence exact, hence the same in any order.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_GRID = 2.0**26
_DROPPED_BITS = 15
_RAISE = 2**38
TABLE_ITEMS = 5_000
"""Up to so many items all cosines are kept in a table (200 MB) and looked up."""

Codes = NDArray[np.int64]


class Similarity(Protocol):
    """Cosine codes between items: whole numbers from 0 below 2^39 that grow with the cosine.

    One step is 2^-37 (7e-12) of cosine.
    """

    def codes(self, targets: NDArray[np.integer], items: NDArray[np.integer]) -> Codes:
        """Codes of every target (t,) with every item (n,), as (t, n) int64."""
        ...


def similarity(vectors: NDArray[np.float32], rows: int) -> Similarity:
    """The quicker way for unit vectors (n_items, p) and so many targets; codes are equal."""
    few_items = len(vectors) <= min(TABLE_ITEMS, rows)
    return SimilarityTable(vectors) if few_items else SimilarityProduct(vectors)


class SimilarityProduct:
    """Codes by one matrix product a call."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    def codes(self, targets: NDArray[np.integer], items: NDArray[np.integer]) -> Codes:
        return _codes(_on_grid(self._vectors[targets]) @ _on_grid(self._vectors[items]).T)


class SimilarityTable:
    """Codes looked up in a table of all pairs, which few items allow."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        grid = _on_grid(vectors)
        self._table = _codes(grid @ grid.T)

    def codes(self, targets: NDArray[np.integer], items: NDArray[np.integer]) -> Codes:
        return self._table[targets[:, None], items[None, :]]


def _on_grid(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    grid = np.rint(np.asarray(vectors, dtype=np.float64) * _GRID)
    assert (np.einsum("np,np->n", grid, grid) <= _GRID**2 * 1.001).all(), "unit length"
    return grid


def _codes(products: NDArray[np.float64]) -> Codes:
    return (products.astype(np.int64) >> _DROPPED_BITS) + _RAISE

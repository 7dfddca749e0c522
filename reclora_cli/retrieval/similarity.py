"""Cosines that come out the same on every machine, in every batch shape.

A floating-point product sums in an order that depends on the library and on the block's shape,
so equal items can differ in the last bit and ties fall differently from run to run. Here unit
vectors are laid on a grid of 2^-26 (finer than float32) as whole numbers in float64: every
product and partial sum is below 2^53, hence exact, hence the same in any order.

A cosine becomes a *code*, a whole number from 0 below 2^39 that grows with it in steps of 2^-37
(7e-12). A *key* is a code followed by ``AGE_BITS`` zero bits: a behaviour's age, added there,
makes the order total, and one 64-bit integer is all that has to be sorted.

Shapes: n_items items, p dimensions, t targets, n behaviours of one user's past.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

AGE_BITS = 23
KEPT_BYTES = 2**30
"""Vectors on the grid are kept up to this size (262,144 items of 512 dimensions)."""

_GRID = 2.0**26
_LIFT = 2.0**4
"""Grid values are 2^4 higher, so that a product (2^8 higher) has its code's bits in place."""
_CODE_BITS = -(2**AGE_BITS)
_RAISE = 2 ** (38 + AGE_BITS)
_CHECKED_AT_ONCE = 8_192

Keys = NDArray[np.int64]
Items = NDArray[np.integer]
Grid = NDArray[np.float64]
Vectors = NDArray[np.float32]


class Similarity:
    """Keys between items of unit vectors (n_items, p), by matrix products."""

    def __init__(self, vectors: Vectors, *, keep: bool = False) -> None:
        """Open ``vectors``, which may be memory-mapped.

        Args:
            keep: lay all of them on the grid now, as float64, which pays when many are read many
                times. Past ``KEPT_BYTES`` they are laid there whenever they are read.
        """
        self._vectors = vectors
        self._kept = _whole_grid(vectors) if keep and vectors.size * 8 <= KEPT_BYTES else None

    def past(self, items: Items) -> Past:
        """One user's behaviours, whose items are ``items`` (n,), ready to be compared."""
        return Past(self, self.grid(items))

    def grid(self, items: Items) -> Grid:
        """Vectors of ``items`` on the grid, (n, p)."""
        if self._kept is not None:
            return self._kept.take(items, axis=0)
        return _on_grid(self._vectors[items])


class Past:
    """One user's behaviours, their vectors gathered once for all of the user's rows."""

    def __init__(self, similarity: Similarity, grid: Grid) -> None:
        self._similarity = similarity
        self._grid = grid

    def keys(self, targets: Items, n: int) -> Keys:
        """Keys of every target (t,) with the first ``n`` behaviours, (t, n)."""
        return _keys(self._similarity.grid(targets) @ self._grid[:n].T)

    def own_keys(self, start: int, stop: int, n: int) -> Keys:
        """As ``keys``; the targets are the items of behaviours ``start`` to ``stop``."""
        if 2 * (stop - start) > n:  # BLAS makes half of a symmetric product only
            every = self._grid[: max(stop, n)]
            return _keys((every @ every.T)[start:stop, :n])
        return _keys(self._grid[start:stop] @ self._grid[:n].T)


def codes(keys: Keys) -> Keys:
    """The cosine codes of keys: one step is 2^-37 of cosine, and 2^38 is a cosine of 0."""
    return keys >> AGE_BITS


def _whole_grid(vectors: Vectors) -> Grid:
    grid = np.empty(vectors.shape, dtype=np.float64)
    for start in range(0, len(vectors), _CHECKED_AT_ONCE):
        part = slice(start, start + _CHECKED_AT_ONCE)
        grid[part] = _on_grid(vectors[part])
    return grid


def _on_grid(vectors: Vectors) -> Grid:
    # A float32 is a multiple of the grid's step already or, below 2^-3, rounds to one that
    # float32 holds: nothing is lost before the change to float64.
    snapped = np.rint(np.asarray(vectors, dtype=np.float32) * np.float32(_GRID))
    grid: Any = np.multiply(snapped, _LIFT, dtype=np.float64)
    unit = (_GRID * _LIFT) ** 2
    assert (np.einsum("np,np->n", grid, grid) <= unit * 1.001).all(), "unit length"
    return grid


def _keys(products: Grid) -> Keys:
    keys = products.astype(np.int64)
    keys &= _CODE_BITS
    keys += _RAISE
    return keys

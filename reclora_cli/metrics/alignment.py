"""How far groups of rows pull parameters in the same direction: cosines between their gradients.

All is read from the inner products of gradients of disjoint batches. A group's gradient is the mean
of its rows', so rows given twice change nothing. Each batch takes an equal part of every group; by
leaving out one batch after the other (Tukey's jackknife, Student's t) the mean cosine gets its
interval. A bootstrap would not do: rows drawn twice add noise to the gradients' lengths, and pull
every cosine towards 0.

Noise pulls the cosine of few rows towards 0 too. ``within`` tells how much: the cosine between two
halves of one group, which without noise would be 1.

Shapes: C groups, M batches, N = C M gradients, group after group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reclora_cli.errors import RecloraError
from reclora_cli.metrics import student
from reclora_cli.metrics.compare import Difference, Figure

Matrix = NDArray[np.float64]
_Statistic = Callable[[NDArray[np.int64]], float]


@dataclass(frozen=True)
class Alignment:
    """Cosines between groups.

    Attributes:
        cosines: (C, C), 1 on the diagonal.
        between: mean of the cosines off the diagonal, with its interval.
        within: mean over groups of the cosine between two halves of the group's batches.
    """

    cosines: list[list[float]]
    between: Figure
    within: float


class Gradients:
    """Inner products of gradients, and how many rows each gradient is the mean of.

    Args:
        products: (N, N) inner products.
        rows: (C, M) rows of each batch.

    Raises:
        RecloraError: fewer than two groups or two batches, shapes that do not fit, or a gradient
            that is 0 or not a number.
    """

    def __init__(self, products: ArrayLike, rows: ArrayLike) -> None:
        self._products = np.asarray(products, dtype=np.float64)
        self._rows = np.asarray(rows, dtype=np.float64)
        if self._rows.ndim != 2 or min(self._rows.shape) < 2:
            raise RecloraError("gradients are compared between two groups of two batches or more")
        if self._products.shape != (self._rows.size,) * 2:
            raise RecloraError(
                f"products of shape {self._products.shape} do not fit {self._rows.size} gradients"
            )
        if not (np.isfinite(self._products).all() and (np.diag(self._products) > 0).all()):
            raise RecloraError("a gradient is 0 or not a number, so it has no direction")

    @property
    def batches(self) -> int:
        return self._rows.shape[1]

    def aligned(self, confidence: float) -> Alignment:
        """Cosines, and their mean off the diagonal with its interval."""
        every = np.arange(self.batches)
        low, high = _interval(self.between, self.batches, confidence)
        return Alignment(
            cosines=self._cosines(every).tolist(),
            between=Figure(self.between(every), low, high),
            within=self.within(),
        )

    def between(self, batches: NDArray[np.int64]) -> float:
        """Mean cosine of two groups, of these batches of each."""
        cosines = self._cosines(batches)
        return float(cosines[~np.eye(len(cosines), dtype=bool)].mean())

    def within(self) -> float:
        """Mean cosine of two halves of a group: batches of even and of odd number."""
        halves = np.stack([self._weights(np.arange(at, self.batches, 2)) for at in (0, 1)])
        first, second = halves
        inner = np.einsum("cn,nm,cm->c", first, self._products, second)
        lengths = [np.sqrt(np.einsum("cn,nm,cm->c", w, self._products, w)) for w in halves]
        return float((inner / (lengths[0] * lengths[1])).mean())

    def _cosines(self, batches: NDArray[np.int64]) -> Matrix:
        weights = self._weights(batches)
        return cosines(weights @ self._products @ weights.T)

    def _weights(self, batches: NDArray[np.int64]) -> Matrix:
        """(C, N): which gradients, and by how much, make each group's."""
        groups, count = self._rows.shape
        chosen = np.zeros_like(self._rows)
        chosen[:, batches] = self._rows[:, batches]
        chosen /= chosen.sum(axis=1, keepdims=True)
        wide = np.zeros((groups, groups, count))
        wide[np.arange(groups), np.arange(groups)] = chosen
        return wide.reshape(groups, groups * count)


def cosines(products: ArrayLike) -> Matrix:
    """(C, C) cosines from inner products."""
    inner = np.asarray(products, dtype=np.float64)
    lengths = np.sqrt(np.diag(inner))
    found = np.clip(inner / np.outer(lengths, lengths), -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def difference(ours: Gradients, theirs: Gradients, confidence: float, level: float) -> Difference:
    """Mean cosine of ``ours`` minus ``theirs``, whose batches are of the same rows.

    Args:
        level: p-values below it are significant.
    """
    assert ours.batches == theirs.batches, "batches of the same rows"
    every = np.arange(ours.batches)

    def apart(batches: NDArray[np.int64]) -> float:
        return ours.between(batches) - theirs.between(batches)

    low, high = _interval(apart, ours.batches, confidence)
    value, error = apart(every), _error(apart, ours.batches)
    p = _p(value, error, ours.batches)
    return Difference(value, low, high, p, significant=p is not None and p < level)


def _error(statistic: _Statistic, batches: int) -> float:
    """The jackknife's standard error."""
    every = np.arange(batches)
    without = np.array([statistic(np.delete(every, at)) for at in every])
    return float(np.sqrt((batches - 1) / batches * ((without - without.mean()) ** 2).sum()))


def _interval(statistic: _Statistic, batches: int, confidence: float) -> tuple[float, float]:
    value = statistic(np.arange(batches))
    reach = student.quantile(confidence, batches - 1) * _error(statistic, batches)
    return value - reach, value + reach


def _p(value: float, error: float, batches: int) -> float | None:
    """Two-sided, of Student's t; ``None`` where batches do not differ at all."""
    return 1 - student.within(value / error, batches - 1) if error > 0 else None

"""Percentile bootstrap over rows (Efron 1979), fast enough for every row of a test split.

A resample is how often each row was drawn, (n,). A statistic is prepared once (its rows sorted,
its losses computed) and then read under those counts, so 1,000 resamples sort nothing again, and
all statistics of all models are read under the *same* resamples: their differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from reclora_cli.metrics.auc import tie_starts
from reclora_cli.metrics.rows import Floats, checked


class Statistic(Protocol):
    """A figure of n rows, given how often each of them was drawn."""

    def __call__(self, counts: Floats) -> float:
        """The figure under ``counts`` (n,); NaN where it is undefined."""
        ...


class ResampledAuc:
    """AUC under counts: likes and dislikes are weighed in score order, tied scores together."""

    def __init__(self, labels: ArrayLike, scores: ArrayLike) -> None:
        """Sort once.

        Raises:
            RecloraError: as ``auc``.
        """
        liked, values = checked(labels, scores)
        self._order = np.argsort(values, kind="stable")
        self._liked = liked[self._order].astype(np.float64)
        self._starts = tie_starts(values[self._order])

    def __call__(self, counts: Floats) -> float:
        drawn = counts[self._order]
        likes = drawn * self._liked
        dislikes = drawn - likes
        if len(self._starts) < len(drawn):
            likes = np.add.reduceat(likes, self._starts)
            dislikes = np.add.reduceat(dislikes, self._starts)
        up_to = np.cumsum(dislikes)
        pairs = likes.sum() * up_to[-1] if len(up_to) else 0.0
        if pairs == 0:
            return float("nan")
        return (_dot(likes, up_to) - 0.5 * _dot(likes, dislikes)) / float(pairs)


class ResampledMean:
    """Mean of one value a row (losses, hits) under counts."""

    def __init__(self, values: ArrayLike) -> None:
        self._values = np.asarray(values, dtype=np.float64)

    def __call__(self, counts: Floats) -> float:
        return _dot(counts, self._values) / float(counts.sum()) if len(counts) else float("nan")


def bootstrap(
    statistics: Sequence[Statistic], rows: int, resamples: int, stream: np.random.Generator
) -> Floats:
    """Every statistic under ``resamples`` draws of ``rows`` rows with replacement.

    Returns:
        (resamples, len(statistics)); NaN where a resample leaves a statistic undefined.
    """
    found = np.full((resamples, len(statistics)), np.nan)
    if rows == 0:
        return found
    for resample in range(resamples):
        drawn = stream.integers(0, rows, rows)
        counts = np.bincount(drawn, minlength=rows).astype(np.float64)
        found[resample] = [statistic(counts) for statistic in statistics]
    return found


def interval(samples: Floats, confidence: float) -> tuple[float, float] | None:
    """The central ``confidence`` share of ``samples`` (resamples,), as (low, high).

    Undefined resamples (one class only, in tiny sets) are left out; ``None`` when all are.
    """
    defined = samples[~np.isnan(samples)]
    if len(defined) == 0:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return float(low), float(high)


def _dot(one: Floats, other: Floats) -> float:
    """Inner product without BLAS: its threads cost more than they save, most of all when busy."""
    return float(np.einsum("n,n->", one, other))

"""Intervals: the percentile bootstrap over rows (Efron 1979), and the normal one of a mean.

A resample is how often each row was drawn, (n,). A statistic is prepared once (its rows sorted,
its losses computed) and then read under those counts, so 1,000 resamples sort nothing again, and
all statistics of all models are read under the *same* resamples: their differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reclora_cli.metrics.rows import Floats, checked


@dataclass(frozen=True)
class Draw:
    """One resample, in the two forms that statistics read fastest.

    Attributes:
        counts: how often each row was drawn, (n,), in as few bytes as hold it: statistics gather
            from it in an order of their own, and a small array stays in the cache.
        weights: the same as (n,) float64, for sums over rows.
        total: rows drawn.
    """

    counts: NDArray[Any]
    weights: Floats
    total: float

    @classmethod
    def of(cls, counts: NDArray[np.integer]) -> Draw:
        """The draw in which row i came ``counts[i]`` times."""
        small = counts.astype(np.min_scalar_type(counts.max(initial=0)))
        return cls(small, counts.astype(np.float64), float(counts.sum()))


class Statistic(Protocol):
    """A figure of n rows, given how often each of them was drawn."""

    def __call__(self, draw: Draw) -> float:
        """The figure of the rows drawn; NaN where it is undefined."""
        ...


class ResampledAuc:
    """AUC of the rows drawn, from where each like stands among the dislikes in score order.

    With C(i) the dislikes drawn among the lowest i, a like above exactly i dislikes wins C(i)
    pairs each time it is drawn; one that ties with dislikes i to j wins half of C(j) - C(i) more.
    All of it is integer arithmetic: no resample is rounded but in the last division.
    """

    def __init__(self, labels: ArrayLike, scores: ArrayLike) -> None:
        """Sort once.

        Raises:
            RecloraError: as ``auc``.
        """
        liked, values = checked(labels, scores)
        order = np.argsort(values, kind="stable")
        self._likes, self._dislikes = order[liked[order]], order[~liked[order]]
        likes, dislikes = values[self._likes], values[self._dislikes]
        self._below = np.searchsorted(dislikes, likes, side="left")
        up_to = np.searchsorted(dislikes, likes, side="right")
        self._tied = np.flatnonzero(up_to > self._below)
        self._tied_below, self._tied_up_to = self._below[self._tied], up_to[self._tied]

    def __call__(self, draw: Draw) -> float:
        likes = draw.counts.take(self._likes)
        below = np.zeros(len(self._dislikes) + 1, dtype=np.int64)
        np.cumsum(draw.counts.take(self._dislikes), dtype=np.int64, out=below[1:])
        pairs = float(likes.sum(dtype=np.int64)) * float(below[-1])
        if pairs == 0:
            return float("nan")
        won = _dot(likes, below.take(self._below))
        halves = below.take(self._tied_up_to) - below.take(self._tied_below)
        return (won + 0.5 * _dot(likes.take(self._tied), halves)) / pairs


class ResampledMean:
    """Mean of one value a row (losses, hits) over the rows drawn."""

    def __init__(self, values: ArrayLike) -> None:
        self._values = np.asarray(values, dtype=np.float64)

    def __call__(self, draw: Draw) -> float:
        return _dot(draw.weights, self._values) / draw.total if draw.total else float("nan")


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
        draw = Draw.of(np.bincount(drawn, minlength=rows))
        found[resample] = [statistic(draw) for statistic in statistics]
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


def mean_interval(values: ArrayLike, confidence: float) -> tuple[float, float] | None:
    """Interval of the mean of ``values`` (n,) by the normal approximation.

    ``None`` below two values, whose spread is not known.
    """
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2:
        return None
    error = float(found.std(ddof=1)) / math.sqrt(len(found))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    mean = float(found.mean())
    return mean - reach, mean + reach


def share_interval(successes: int, rows: int, confidence: float) -> tuple[float, float]:
    """Interval of a share of ``rows`` (at least one), by Wilson's score method.

    Wilson (1927), *Probable inference, the law of succession, and statistical inference*, JASA
    22(158): the shares that a normal test does not reject. It stays within [0, 1] and has a width
    where none or all succeed.
    """
    share, z = successes / rows, NormalDist().inv_cdf((1 + confidence) / 2)
    scale = 1 + z * z / rows
    centre = (share + z * z / (2 * rows)) / scale
    reach = z / scale * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    low, high = max(0.0, centre - reach), min(1.0, centre + reach)
    return (0.0 if successes == 0 else low), (1.0 if successes == rows else high)


def _dot(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Inner product without BLAS: its threads cost more than they save, most of all when busy."""
    return float(np.einsum("n,n->", one, other))

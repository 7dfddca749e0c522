"""Ranking metrics where one of a row's candidates is the truth: HitRatio@k, NDCG@k and MRR.

Ties are pessimistic: a candidate that scores what the truth scores stands before it. So a model
that scores all alike is last everywhere, and no order of candidates helps it.

With one truth at rank r, ``HitRatio@k = 1[r <= k]``, ``NDCG@k = 1[r <= k] / log2(r + 1)`` (the best
possible is 1), and ``MRR = 1 / r``; each is the mean over rows.

Shapes: n rows, C candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reclora_cli.errors import RecloraError
from reclora_cli.metrics.intervals import ResampledMean, bootstrap, interval
from reclora_cli.metrics.rows import Floats

NDCG_AT = 5


@dataclass(frozen=True)
class Ranking:
    """The figures of n rows; ``intervals`` by the same names: ``hit_ratio@1``, ``ndcg@5``, ``mrr``.

    Attributes:
        chance: HitRatio@1 of a blind choice.
    """

    n: int
    chance: float
    figures: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]


def truth_ranks(scores: ArrayLike, truth: ArrayLike) -> NDArray[np.int64]:
    """Rank of each row's truth from 1, (n,); those that tie with it stand before it.

    Args:
        scores: (n, C), higher is better.
        truth: (n,) index of the true candidate.

    Raises:
        RecloraError: shapes do not fit, an index is out of range, or a score is NaN.
    """
    values, at = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    if values.ndim != 2 or at.shape != values.shape[:1]:
        raise RecloraError(f"scores of shape {values.shape} do not fit truths of shape {at.shape}")
    if ((at < 0) | (at >= values.shape[1])).any():
        raise RecloraError(f"a truth is none of the {values.shape[1]} candidates")
    broken = np.isnan(values).any(axis=1)
    if broken.any():
        raise RecloraError(
            f"a score of row {int(np.argmax(broken))} of {len(values)} is NaN "
            f"({int(broken.sum())} such rows)",
            hint="The model's numbers overflowed; retrain it.",
        )
    of_truth = values[np.arange(len(values)), at]
    return np.asarray((values >= of_truth[:, None]).sum(axis=1), dtype=np.int64)


def hits(ranks: ArrayLike, k: int) -> Floats:
    """1 for each row whose truth is among the first k, else 0, (n,)."""
    return (np.asarray(ranks) <= k).astype(np.float64)


def gains(ranks: ArrayLike, k: int) -> Floats:
    """NDCG@k of each row, (n,)."""
    found = np.asarray(ranks)
    return hits(found, k) / np.log2(found + 1.0)


def reciprocal_ranks(ranks: ArrayLike) -> Floats:
    """1 / rank of each row, (n,)."""
    return 1.0 / np.asarray(ranks, dtype=np.float64)


def by_row(ranks: ArrayLike) -> Mapping[str, Floats]:
    """HitRatio@1, NDCG@5 and the reciprocal rank of each row, by name."""
    return {
        "hit_ratio@1": hits(ranks, 1),
        f"ndcg@{NDCG_AT}": gains(ranks, NDCG_AT),
        "mrr": reciprocal_ranks(ranks),
    }


def figures(ranks: ArrayLike) -> dict[str, float | None]:
    """The means of ``by_row``; ``None`` of no rows."""
    return {
        name: float(values.mean()) if len(values) else None
        for name, values in by_row(ranks).items()
    }


def ranking(
    scores: ArrayLike,
    truth: ArrayLike,
    *,
    resamples: int,
    confidence: float,
    stream: np.random.Generator,
) -> Ranking:
    """Every figure of ``scores`` (n, C), with a percentile-bootstrap interval over rows."""
    ranks = truth_ranks(scores, truth)
    per_row = by_row(ranks)
    means = [ResampledMean(values) for values in per_row.values()]
    samples = bootstrap(means, len(ranks), resamples, stream)
    return Ranking(
        n=len(ranks),
        chance=1.0 / np.asarray(scores).shape[1],
        figures=figures(ranks),
        intervals={name: interval(samples[:, at], confidence) for at, name in enumerate(per_row)},
    )

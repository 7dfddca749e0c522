"""Tests of the difference between two models scored on the same rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reclora_cli.metrics.auc import midranks
from reclora_cli.metrics.rows import Floats, Labels, checked


@dataclass(frozen=True)
class DeLong:
    """AUC of one model minus that of another, its standard error, and the two-sided p-value."""

    difference: float
    standard_error: float
    p: float


def bootstrap_p(differences: Floats) -> float | None:
    """Two-sided p-value that a difference is none, from its paired resamples (resamples,).

    Twice the smaller share of resamples on either side of zero, each count raised by one
    (Davison & Hinkley 1997, section 4.2), so it is never below 2 / (resamples + 1).
    ``None`` when no resample is defined.
    """
    defined = differences[~np.isnan(differences)]
    if len(defined) == 0:
        return None
    below, above = (defined <= 0).sum(), (defined >= 0).sum()
    return float(min(1.0, 2 * (1 + min(below, above)) / (1 + len(defined))))


def delong(labels: ArrayLike, scores: ArrayLike, reference: ArrayLike) -> DeLong | None:
    """DeLong's test of two correlated AUCs (DeLong et al. 1988; midranks by Sun & Xu 2014).

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) of the model.
        reference: (n,) of the model it is held against.

    Returns:
        ``None`` unless there are at least two likes and two dislikes.

    Raises:
        RecloraError: as ``auc``.
    """
    liked, ours = checked(labels, scores)
    _, theirs = checked(labels, reference)
    likes = int(liked.sum())
    if min(likes, len(liked) - likes) < 2:
        return None
    shares = [_placements(liked, values) for values in (ours, theirs)]
    difference = float(shares[0][0].mean() - shares[1][0].mean())
    variance = sum(
        float(np.var(first - second, ddof=1)) / len(first)
        for first, second in zip(shares[0], shares[1], strict=True)
    )
    error = math.sqrt(variance)
    return DeLong(difference, error, _two_sided(difference, error))


def _placements(liked: Labels, values: Floats) -> tuple[Floats, Floats]:
    """Share of dislikes below each like, (P,), and of likes above each dislike, (N,)."""
    ranks = midranks(values)
    likes, dislikes = values[liked], values[~liked]
    below = (ranks[liked] - midranks(likes)) / len(dislikes)
    above = 1 - (ranks[~liked] - midranks(dislikes)) / len(likes)
    return below, above


def _two_sided(difference: float, error: float) -> float:
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))

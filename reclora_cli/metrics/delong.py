"""DeLong's variance of AUCs, of one model and of several on the same rows.

DeLong, DeLong & Clarke-Pearson (1988), *Comparing the areas under two or more correlated receiver
operating characteristic curves*, Biometrics 44(3). An AUC is the mean of its *placements*: for each
like, the share of dislikes below it (V10, equation 4), and for each dislike, the share of likes
above it (V01, equation 5). With P likes and N dislikes, the covariance of the AUCs of models r and
s is ``cov(V10_r, V10_s) / P + cov(V01_r, V01_s) / N``. Placements are differences of midranks
(Sun & Xu 2014, *Fast implementation of DeLong's algorithm*, IEEE Signal Processing Letters
21(11)), so a model costs three sorts instead of P N comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

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


@dataclass(frozen=True)
class Placements:
    """Placements of m models on the same P likes and N dislikes, at least two of each.

    Attributes:
        of_likes: (m, P), share of dislikes below each like, ties counting half.
        of_dislikes: (m, N), share of likes above each dislike.
    """

    of_likes: Floats
    of_dislikes: Floats

    @property
    def aucs(self) -> Floats:
        """(m,)."""
        return self.of_likes.mean(axis=1)

    @property
    def covariance(self) -> Floats:
        """Of the AUCs, (m, m)."""
        parts = (self.of_likes, self.of_dislikes)
        return sum(
            (np.atleast_2d(np.cov(part)) / part.shape[1] for part in parts),
            np.zeros((len(self.of_likes),) * 2),
        )

    def standard_error(self, model: int) -> float:
        """Of the AUC of the model at index ``model``."""
        return _standard_error(self.of_likes[model], self.of_dislikes[model])

    def difference(self, model: int, reference: int) -> DeLong:
        """The paired test of one model against another."""
        # The variance of the difference itself: exactly none for a model against its own scores,
        # which entries of the covariance, each rounded, would not add up to.
        likes = self.of_likes[model] - self.of_likes[reference]
        dislikes = self.of_dislikes[model] - self.of_dislikes[reference]
        difference, error = float(likes.mean()), _standard_error(likes, dislikes)
        return DeLong(difference, error, _two_sided(difference, error))


def placements(labels: ArrayLike, scores: Sequence[ArrayLike]) -> Placements | None:
    """Placements of models on the same rows.

    Args:
        labels: (n,) of 0 and 1.
        scores: of each model, (n,).

    Returns:
        ``None`` unless there are at least two likes and two dislikes.

    Raises:
        RecloraError: as ``auc``.
    """
    every = [checked(labels, values) for values in scores]
    liked = every[0][0]
    if min(liked.sum(), (~liked).sum()) < 2:
        return None
    found = [_placed(liked, values) for _, values in every]
    return Placements(
        np.array([likes for likes, _ in found]), np.array([dislikes for _, dislikes in found])
    )


def delong(labels: ArrayLike, scores: ArrayLike, reference: ArrayLike) -> DeLong | None:
    """DeLong's test of the AUC of ``scores`` (n,) against that of ``reference`` (n,).

    Returns:
        ``None`` unless there are at least two likes and two dislikes.

    Raises:
        RecloraError: as ``auc``.
    """
    placed = placements(labels, (scores, reference))
    return placed.difference(0, 1) if placed else None


def auc_interval(
    labels: ArrayLike, scores: ArrayLike, confidence: float
) -> tuple[float, float] | None:
    """Interval of the AUC of ``scores`` (n,): normal, with DeLong's variance, within [0, 1].

    Returns:
        ``None`` without two likes and two dislikes, and where they part entirely: the estimated
        variance is nought there, and an interval of no width would claim what few rows cannot.

    Raises:
        RecloraError: as ``auc``.
    """
    placed = placements(labels, (scores,))
    if placed is None:
        return None
    value = float(placed.aucs[0])
    if value in (0.0, 1.0):
        return None
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * placed.standard_error(0)
    return max(0.0, value - reach), min(1.0, value + reach)


def _placed(liked: Labels, values: Floats) -> tuple[Floats, Floats]:
    """Share of dislikes below each like, (P,), and of likes above each dislike, (N,)."""
    ranks = midranks(values)
    likes, dislikes = values[liked], values[~liked]
    below = (ranks[liked] - midranks(likes)) / len(dislikes)
    above = 1 - (ranks[~liked] - midranks(dislikes)) / len(likes)
    return below, above


def _standard_error(of_likes: Floats, of_dislikes: Floats) -> float:
    parts = (of_likes, of_dislikes)
    return math.sqrt(sum(float(np.var(part, ddof=1)) / len(part) for part in parts))


def _two_sided(difference: float, error: float) -> float:
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))

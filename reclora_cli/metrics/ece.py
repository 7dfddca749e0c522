"""Expected calibration error: how far shares of likes lie from P(yes), bin by bin.

Guo et al. (2017), equation 3, over bins of P(yes) (see ``calibration``):
``ECE = Σ_b n_b / n |share of likes_b - mean P(yes)_b|``, or ``Σ_b |Σ_{i in b} (y_i - p_i)| / n``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from reclora_cli.metrics.calibration import BINS, bin_of
from reclora_cli.metrics.intervals import Draw, interval
from reclora_cli.metrics.rows import Floats, checked_probabilities


class ResampledEce:
    """ECE of the rows drawn: rows are put into bins once, and then only summed."""

    def __init__(self, labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> None:
        """Sort by bin.

        Raises:
            RecloraError: as ``ece``.
        """
        liked, values = checked_probabilities(labels, probabilities)
        at = bin_of(values, bins)
        self._order = np.argsort(at, kind="stable")
        self._gaps = (liked - values)[self._order]
        rows = np.bincount(at, minlength=bins)
        self._starts = (np.cumsum(rows) - rows)[rows > 0]

    def __call__(self, draw: Draw) -> float:
        if not draw.total:
            return float("nan")
        sums = np.add.reduceat(draw.weights.take(self._order) * self._gaps, self._starts)
        return float(np.abs(sums).sum()) / draw.total


def ece(labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> float | None:
    """ECE of P(yes) (n,); ``None`` without rows.

    Raises:
        RecloraError: lengths differ, a label is not 0 or 1, or a score is no probability.
    """
    statistic = ResampledEce(labels, probabilities, bins)
    rows = len(np.asarray(labels))
    return statistic(Draw.of(np.ones(rows, dtype=np.int64))) if rows else None


def ece_interval(value: float, samples: Floats, confidence: float) -> tuple[float, float] | None:
    """Interval of the ECE that ``value`` estimates, from its resamples (resamples,).

    Noise in a bin adds to an ECE whatever its sign, so an ECE of few rows is too large, and that of
    a resample is too large twice over: percentiles would leave out a calibrated model's nought. The
    basic bootstrap (Davison & Hinkley 1997, section 5.2) mirrors them at ``value``, which takes
    that much off. Within [0, 1], and stretched to ``value`` where it would lie above.
    """
    percentiles = interval(samples, confidence)
    if percentiles is None:
        return None
    low, high = percentiles
    return max(0.0, min(value, 2 * value - high)), min(1.0, max(value, 2 * value - low))

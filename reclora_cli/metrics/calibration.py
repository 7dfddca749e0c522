"""Calibration curve: how often rows are liked that a model gives about the same P(yes).

Bins of equal width over P(yes), 15 as in Guo et al. (2017), *On Calibration of Modern Neural
Networks*, section 2. Theirs are bins of the confidence in the chosen answer; with two answers of
which one is asked for, P(yes) is binned itself, so that a model that says yes too often and one
that says no too often are told apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reclora_cli.metrics.intervals import share_interval
from reclora_cli.metrics.rows import Floats, checked_probabilities

BINS = 15


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose P(yes) lies in ``(lower, upper]``; in the first bin 0 too.

    Attributes:
        rows: at least one.
        mean_probability: their mean P(yes).
        share_of_likes: how many of them are liked, with its Wilson interval from ``low`` to
            ``high``.
    """

    lower: float
    upper: float
    rows: int
    mean_probability: float
    share_of_likes: float
    low: float
    high: float


def bin_of(probabilities: Floats, bins: int = BINS) -> NDArray[np.intp]:
    """Index of each row's bin, (n,) of 0 to ``bins`` - 1; a bound belongs to the bin below it."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probabilities, side="left")


def calibration_curve(
    labels: ArrayLike, probabilities: ArrayLike, confidence: float, bins: int = BINS
) -> list[CalibrationBin]:
    """Every bin that has rows, from low P(yes) to high.

    Args:
        labels: (n,) of 0 and 1.
        probabilities: P(yes), (n,).
        confidence: of the intervals.

    Raises:
        RecloraError: lengths differ, a label is not 0 or 1, or a score is no probability.
    """
    liked, values = checked_probabilities(labels, probabilities)
    at, bounds = bin_of(values, bins), np.linspace(0, 1, bins + 1)
    rows = np.bincount(at, minlength=bins)
    likes = np.bincount(at, weights=liked, minlength=bins)
    sums = np.bincount(at, weights=values, minlength=bins)
    return [
        CalibrationBin(
            *(float(bounds[one]), float(bounds[one + 1]), int(rows[one])),
            *(float(sums[one] / rows[one]), float(likes[one] / rows[one])),
            *share_interval(int(likes[one]), int(rows[one]), confidence),
        )
        for one in np.flatnonzero(rows)
    ]

"""What every metric asks of the rows it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reclora_cli.errors import RecloraError

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Labels, Floats]:
    """``labels`` (n,) of 0 and 1 as bool, ``scores`` (n,) as float64.

    Raises:
        RecloraError: lengths differ, a label is neither 0 nor 1, or a score is NaN; the first
            such row is named.
    """
    found, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if found.ndim != 1 or found.shape != values.shape:
        raise RecloraError(
            f"labels of shape {found.shape} do not fit scores of shape {values.shape}",
            hint="A metric takes one label and one score a row.",
        )
    _refuse(~np.isin(found, (0, 1)), found, "label", "A label is 0 (dislike) or 1 (like).")
    _refuse(np.isnan(values), values, "score", "The model's numbers overflowed; retrain it.")
    return found.astype(bool), values


def checked_probabilities(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Labels, Floats]:
    """As ``checked``, for scores that must lie in [0, 1].

    Raises:
        RecloraError: as ``checked``, or a score is no probability.
    """
    found, values = checked(labels, probabilities)
    outside = (values < 0) | (values > 1)
    _refuse(outside, values, "probability", "LogLoss and accuracy read P(yes), from 0 to 1.")
    return found, values


def _refuse(wrong: NDArray[np.bool_], values: NDArray[Any], what: str, hint: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise RecloraError(
            f"{what} of row {row} of {len(values)} is {values[row]} ({int(wrong.sum())} such rows)",
            hint=hint,
        )

"""LogLoss: mean negative log likelihood of the labels, in nats (the training loss, Eq. 15)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from reclora_cli.metrics.rows import Floats, checked_probabilities

EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1, as scikit-learn does in float64."""


def log_losses(labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Loss of each row, (n,) -> (n,).

    Raises:
        RecloraError: lengths differ, a label is not 0 or 1, or a score is no probability.
    """
    liked, values = checked_probabilities(labels, probabilities)
    values = np.clip(values, EPSILON, 1 - EPSILON)
    return -np.log(np.where(liked, values, 1 - values))


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float | None:
    """Mean of ``log_losses``; ``None`` without rows."""
    losses = log_losses(labels, probabilities)
    return float(losses.mean()) if len(losses) else None

"""Accuracy: share of rows whose more probable answer is the right one."""

from __future__ import annotations

from numpy.typing import ArrayLike

from reclora_cli.metrics.rows import Labels, checked_probabilities


def hits(labels: ArrayLike, probabilities: ArrayLike) -> Labels:
    """Whether each row is answered rightly, (n,); P(yes) of 0.5 and above answers yes.

    Raises:
        RecloraError: lengths differ, a label is not 0 or 1, or a score is no probability.
    """
    liked, values = checked_probabilities(labels, probabilities)
    return liked == (values >= 0.5)


def accuracy(labels: ArrayLike, probabilities: ArrayLike) -> float | None:
    """Mean of ``hits``; ``None`` without rows."""
    found = hits(labels, probabilities)
    return float(found.mean()) if len(found) else None

"""McNemar's exact test of two models that hit or miss on the same rows.

McNemar (1947), *Note on the sampling error of the difference between correlated proportions or
percentages*, Psychometrika 12(2). Rows where both hit or both miss say nothing of the difference;
if there is none, each other row is as likely to be one model's hit as the other's.

Shapes: n rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reclora_cli.errors import RecloraError


@dataclass(frozen=True)
class McNemar:
    """Rows that tell two models apart.

    Attributes:
        ours, theirs: rows that the one model hits and the other does not.
        p: two-sided exact p-value; 1 where no row tells them apart.
    """

    ours: int
    theirs: int
    p: float


def mcnemar(ours: ArrayLike, theirs: ArrayLike) -> McNemar:
    """Test the hits of two models.

    Args:
        ours, theirs: (n,) of 0 and 1. A share of a hit (``metrics.choices``) counts for the model
            whose share is larger, which is the sign test.

    Raises:
        RecloraError: lengths differ.
    """
    one, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise RecloraError(f"hits of shape {one.shape} do not fit hits of shape {other.shape}")
    more, less = int((one > other).sum()), int((one < other).sum())
    return McNemar(more, less, binomial_p(more, less))


def binomial_p(successes: int, failures: int) -> float:
    """Two-sided p-value of so many successes and failures where each is as likely; exact."""
    trials = successes + failures
    tail = sum(math.comb(trials, count) for count in range(min(successes, failures) + 1))
    return min(1.0, 2 * tail / 2**trials)

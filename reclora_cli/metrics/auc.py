"""Area under the ROC curve: the chance that a like is scored above a dislike, ties counting half.

Rank form (Hanley & McNeil 1982): with midranks R, ``AUC = (Σ_likes R - P(P+1)/2) / (P N)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from reclora_cli.metrics.rows import Floats, checked


def auc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """AUC of ``scores`` (n,) for ``labels`` (n,); ``None`` unless both classes are there.

    Raises:
        RecloraError: lengths differ, a label is not 0 or 1, or a score is NaN.
    """
    liked, values = checked(labels, scores)
    likes = int(liked.sum())
    pairs = likes * (len(liked) - likes)
    if pairs == 0:
        return None
    ranks = midranks(values)
    return float((ranks[liked].sum() - likes * (likes + 1) / 2) / pairs)


def midranks(values: Floats) -> Floats:
    """Ranks from 1, equal values sharing the mean of theirs, (n,) -> (n,)."""
    order = np.argsort(values, kind="stable")
    starts = tie_starts(values[order])
    ends = np.append(starts[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + 1 + ends) / 2, ends - starts)
    return ranks


def tie_starts(ascending: Floats) -> np.ndarray:
    """Index at which each run of equal values of an ascending (n,) array starts."""
    return np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))[: len(ascending)]

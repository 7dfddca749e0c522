"""User-AUC (GAUC): the AUC within each user, weighted by the user's rows.

Zhu et al. (2017), *Deep Interest Network for Click-Through Rate Prediction* (arXiv 1706.06978), in
their section on metrics: ``Σ_u n_u AUC_u / Σ_u n_u``. It asks whether a user's own likes stand
above the same user's dislikes; knowing which users like much does not help. Users whose rows are
all liked or all disliked have no AUC and do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reclora_cli.errors import RecloraError
from reclora_cli.metrics.auc import tie_starts
from reclora_cli.metrics.intervals import Draw
from reclora_cli.metrics.rows import Floats, checked


@dataclass(frozen=True)
class AucByUser:
    """AUC of each of U users, by ascending user id.

    Attributes:
        auc: (U,), 0 where it is undefined.
        weight: rows of the user, (U,); 0 where the AUC is undefined.
    """

    auc: Floats
    weight: Floats

    @property
    def value(self) -> float | None:
        """The mean; ``None`` when no user has both classes."""
        return float(self.auc @ self.weight / self.weight.sum()) if self.users else None

    @property
    def users(self) -> int:
        """Users who count."""
        return int(np.count_nonzero(self.weight))

    @property
    def rows(self) -> int:
        """Rows of those users."""
        return int(self.weight.sum())


def auc_by_user(labels: ArrayLike, scores: ArrayLike, users: ArrayLike) -> AucByUser:
    """AUC within each user.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,).
        users: whose row each is, (n,) ids.

    Raises:
        RecloraError: lengths differ, a label is not 0 or 1, or a score is NaN.
    """
    liked, values = checked(labels, scores)
    _, whose = np.unique(np.asarray(users), return_inverse=True)
    if whose.shape != liked.shape:
        raise RecloraError(
            f"users of shape {whose.shape} do not fit labels of shape {liked.shape}",
            hint="A user-AUC takes one user a row.",
        )
    rows = np.bincount(whose)
    likes = np.bincount(whose, weights=liked, minlength=len(rows))
    above = np.bincount(whose, weights=liked * _ranks(whose, values), minlength=len(rows))
    pairs = likes * (rows - likes)
    won = above - likes * (likes + 1) / 2
    found = np.divide(won, pairs, out=np.zeros(len(rows)), where=pairs > 0)
    return AucByUser(found, np.where(pairs > 0, rows, 0).astype(np.float64))


def user_auc(labels: ArrayLike, scores: ArrayLike, users: ArrayLike) -> float | None:
    """User-AUC; ``None`` when no user has both classes.

    Raises:
        RecloraError: as ``auc_by_user``.
    """
    return auc_by_user(labels, scores, users).value


class ResampledUserAuc:
    """User-AUC of the users drawn: rows of one user are not independent, so users are drawn."""

    def __init__(self, by_user: AucByUser) -> None:
        self._won, self._weight = by_user.auc * by_user.weight, by_user.weight

    def __call__(self, draw: Draw) -> float:
        weight = float(np.einsum("u,u->", draw.weights, self._weight))
        won = float(np.einsum("u,u->", draw.weights, self._won))
        return won / weight if weight else float("nan")


def _ranks(whose: NDArray[np.intp], values: Floats) -> Floats:
    """Midrank of each row among its user's, from 1, (n,)."""
    order = np.lexsort((values, whose))
    ordered, user = values[order], whose[order]
    first = tie_starts(user.astype(np.float64))
    starts = np.union1d(first, tie_starts(ordered))
    ends = np.append(starts[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + 1 + ends) / 2, ends - starts)
    before = np.repeat(first, np.diff(np.append(first, len(values))))
    ranks[order] -= before
    return ranks

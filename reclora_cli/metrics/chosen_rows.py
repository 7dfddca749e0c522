"""How chosen rows differ from the rest, where rows of one user belong together.

Yes-or-no traits are compared by their shares: the difference, and Cohen's h, 2 asin(sqrt(p)) of one
minus that of the other (Cohen 1988, *Statistical Power Analysis*, ch. 6; .2 small, .5 medium, .8
large). Numbers are compared by Cliff's delta (Cliff 1993, *Dominance statistics*): the chance that
a chosen row has the larger one, minus that of the smaller; -1 to 1, 0 where they are alike.

A user's rows are alike, so they are no independent draws: intervals come from resampling whole
users (percentile bootstrap), p-values from the effect over its spread under the same resamples
(normal approximation, two-sided).

Shapes: n rows, U users, R resamples, F traits.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.metrics.intervals import interval
from reclora_cli.metrics.rows import Floats

Bools = NDArray[np.bool_]
Ints = NDArray[Any]

_LEAST_DEFINED = 0.5


@dataclass(frozen=True)
class Effect:
    """A figure with its interval; ``p`` of it being 0. ``None`` where it is not defined."""

    value: float
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class SharesApart:
    """A yes-or-no trait in the chosen rows and in the rest.

    Attributes:
        chosen, rest: shares of rows that have it.
        difference: chosen minus rest, with its interval.
        cohens_h: of the two shares.
    """

    chosen: float
    rest: float
    difference: Effect
    cohens_h: float


def user_draws(users: int, resamples: int, stream: np.random.Generator) -> Floats:
    """How often each user is drawn with replacement, (R, U)."""
    even = np.full(users, 1 / users)
    return stream.multinomial(users, even, size=resamples).astype(np.float64)


def shares_apart(
    traits: Bools, chosen: Bools, users: Ints, draws: Floats, confidence: float
) -> list[SharesApart]:
    """Each of F traits in chosen rows against the others.

    Args:
        traits: (n, F).
        chosen: (n,); some rows are chosen and some are not.
        users: (n,) the row's user, 0 to U - 1.
        draws: (R, U) as ``user_draws``.
    """
    count = draws.shape[1]
    with_it, rows, drawn = [], [], []
    for side in (chosen, ~chosen):
        sums = np.zeros((count, traits.shape[1]))
        np.add.at(sums, users[side], traits[side])
        sizes = np.bincount(users[side], minlength=count).astype(np.float64)
        with_it.append(sums.sum(axis=0) / sizes.sum())
        rows.append(sizes)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn.append((draws @ sums) / (draws @ sizes)[:, None])
    apart = drawn[0] - drawn[1]
    return [
        SharesApart(
            chosen=float(one),
            rest=float(other),
            difference=_effect(float(one - other), apart[:, at], count, confidence),
            cohens_h=cohens_h(float(one), float(other)),
        )
        for at, (one, other) in enumerate(zip(*with_it, strict=True))
    ]


def cohens_h(one: float, other: float) -> float:
    """Difference of two shares on the scale of arcsines, -pi to pi."""
    return float(2 * (np.arcsin(np.sqrt(one)) - np.arcsin(np.sqrt(other))))


def cliffs_delta(
    values: Floats, chosen: Bools, users: Ints, draws: Floats, confidence: float
) -> Effect:
    """Cliff's delta of chosen rows against the others; arguments as ``shares_apart``.

    Args:
        values: (n,); rows where it is not finite are left out.
    """
    known = np.isfinite(values)
    values, chosen, users = values[known], chosen[known], users[known]
    count = draws.shape[1]
    if not chosen.any() or chosen.all():
        return Effect(float("nan"), None, None, None)
    wins_UU = _wins(values, chosen, users, count)
    one, other = (
        np.bincount(users[side], minlength=count).astype(np.float64) for side in (chosen, ~chosen)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs_R = (draws @ one) * (draws @ other)
        # Half the time in float32: what is summed are whole numbers.
        won_RU = draws.astype(np.float32) @ wins_UU.astype(np.float32)
        drawn = np.einsum("ru,ru->r", won_RU, draws) / pairs_R
    return _effect(float(wins_UU.sum() / (one.sum() * other.sum())), drawn, count, confidence)


def _wins(values: Floats, chosen: Bools, users: Ints, count: int) -> Floats:
    """Pairs that chosen rows of a user win against other rows of a user, less those lost, (U, U).

    Rows are counted below and above each value by sorting: no matrix of all pairs is held but that
    of (chosen rows, users).
    """
    rest_of = users[~chosen]
    order = np.argsort(rest_of, kind="stable")
    present, starts = np.unique(rest_of[order], return_index=True)
    signs = np.sign(values[chosen][:, None] - values[~chosen][order][None, :])
    by_user = np.add.reduceat(signs, starts, axis=1)
    wins_UU = np.zeros((count, count))
    folded = np.zeros((count, len(present)))
    np.add.at(folded, users[chosen], by_user)
    wins_UU[:, present] = folded
    return wins_UU


def _effect(value: float, drawn: Floats, users: int, confidence: float) -> Effect:
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < _LEAST_DEFINED * len(drawn) or len(defined) < 2:
        return Effect(value, None, None, None)
    low, high = interval(defined, confidence) or (None, None)
    return Effect(value, low, high, _p(value, float(defined.std(ddof=1)), users))


def _p(value: float, spread: float, users: int) -> float:
    """Two-sided, of 0. Where every resample says the same, each of U users is one sign of it: the
    sign test's 2 / 2^U."""
    if spread < 1e-12:
        return 1.0 if abs(value) < 1e-12 else min(1.0, 2.0 * 0.5**users)
    return 2 * NormalDist().cdf(-abs(value) / spread)

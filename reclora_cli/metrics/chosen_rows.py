"""How chosen rows differ from the rest, where rows of one user belong together.

Yes-or-no traits are compared by their shares: the difference, and Cohen's h, 2 asin(sqrt(p)) of one
minus that of the other (Cohen 1988, *Statistical Power Analysis*, ch. 6; .2 small, .5 medium, .8
large). Numbers are compared by Cliff's delta (Cliff 1993, *Dominance statistics*): the chance that
a chosen row has the larger one, minus that of the smaller; -1 to 1, 0 where they are alike.

A user's rows are alike, so they are no independent draws: intervals come from resampling whole
users (percentile bootstrap).

p-values come from dealing each user's choices to another user who has as many rows (``dealt_p``).
The spread of resamples would not do: where a trait that few users have is in no chosen row, it is
far too small, and of a thousand comparisons several would stand out by chance.

Shapes: n rows, U users, R resamples, F traits, C sets of chosen rows.
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
    """A figure with its interval; ``None`` where resamples do not define it."""

    value: float
    low: float | None
    high: float | None


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
            difference=_effect(float(one - other), apart[:, at], confidence),
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
        return Effect(float("nan"), None, None)
    wins_UU = _wins(values, chosen, users, count)
    one, other = (
        np.bincount(users[side], minlength=count).astype(np.float64) for side in (chosen, ~chosen)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs_R = (draws @ one) * (draws @ other)
        # Half the time in float32: what is summed are whole numbers.
        won_RU = draws.astype(np.float32) @ wins_UU.astype(np.float32)
        drawn = np.einsum("ru,ru->r", won_RU, draws) / pairs_R
    return _effect(float(wins_UU.sum() / (one.sum() * other.sum())), drawn, confidence)


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


def dealt_p(
    columns: Floats, chosen: Bools, users: Ints, deals: int, stream: np.random.Generator
) -> Floats:
    """p of means of chosen rows and of the rest being equal, (C, F); two-sided.

    The choices of a user's rows are dealt, shuffled, to another user with as many rows, ``deals``
    times: rows of a user stay together, and choices know nothing of columns. The difference is
    held against the mean and spread of those of the deals (normal approximation). Of a column of
    ``midranks`` it is the p of Cliff's delta.

    Args:
        columns: (n, F); traits as 0 and 1.
        chosen: (n, C).
        users: (n,) any ids.
    """
    order = np.argsort(users, kind="stable")
    values = np.asarray(columns, dtype=np.float64)[order]
    picked = chosen[order].astype(np.float64)
    blocks = _blocks_of_equal_size(users[order])
    found = np.empty((deals, chosen.shape[1], values.shape[1]))
    for at in range(deals):
        dealt = np.empty_like(picked)
        for block in blocks:
            others = stream.permuted(stream.permutation(block), axis=1)
            dealt[block.ravel()] = picked[others.ravel()]
        found[at] = _means_apart(values, dealt)
    spread = found.std(axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.abs(_means_apart(values, picked) - found.mean(axis=0)) / spread
    z = np.where(spread > 1e-12, z, 0.0)
    tail = np.vectorize(NormalDist().cdf, otypes=[np.float64])
    return 2 * tail(-z)


def midranks(values: Floats) -> Floats:
    """(n,) rank of each value, ties sharing their mean; the middle for one that is not finite."""
    known = np.isfinite(values)
    _, at, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = np.full(len(values), (known.sum() + 1) / 2)
    ranks[known] = (last - (counts - 1) / 2)[at]
    return ranks


def _blocks_of_equal_size(users: Ints) -> list[Ints]:
    """Rows of users with equally many rows, (users, rows of each); ``users`` is sorted."""
    _, starts, sizes = np.unique(users, return_index=True, return_counts=True)
    return [starts[sizes == size][:, None] + np.arange(size) for size in np.unique(sizes)]


def _means_apart(values_NF: Floats, chosen_NC: Floats) -> Floats:
    """(C, F) means of chosen rows minus those of the rest; 0 where either is empty."""
    sizes_C1 = chosen_NC.sum(axis=0)[:, None]
    sums_CF = chosen_NC.T @ values_NF
    rest_C1 = len(values_NF) - sizes_C1
    rest_CF = values_NF.sum(axis=0) - sums_CF
    apart = sums_CF / np.maximum(sizes_C1, 1) - rest_CF / np.maximum(rest_C1, 1)
    return np.where((sizes_C1 > 0) & (rest_C1 > 0), apart, 0.0)


def _effect(value: float, drawn: Floats, confidence: float) -> Effect:
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < _LEAST_DEFINED * len(drawn) or len(defined) < 2:
        return Effect(value, None, None)
    low, high = interval(defined, confidence) or (None, None)
    return Effect(value, low, high)

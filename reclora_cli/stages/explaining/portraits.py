"""What is over-represented where an expert's weight is high: its top quarter of rows, and the rest.

Every expert is compared by every trait; p-values of all these comparisons are adjusted together
(Benjamini-Hochberg), and only what stays below .05 is told.

Shapes: n rows, K experts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reclora_cli.metrics.chosen_rows import (
    Effect,
    cliffs_delta,
    dealt_p,
    midranks,
    shares_apart,
    user_draws,
)
from reclora_cli.metrics.false_discovery import benjamini_hochberg
from reclora_cli.stages.explaining.row_traits import Number, YesNo

TOP = 0.25
CONFIDENCE = 0.95
FALSE = 0.05
"""Share of false ones among what is told, at most (in expectation)."""

RESAMPLES = 1000
ALIKE = 0.9
"""Correlation of two experts' weights over rows from which they are said to move together."""

_STILL = 1e-6


@dataclass(frozen=True)
class Trait:
    """One thing that stands out in an expert's rows.

    Attributes:
        value: of a yes-or-no trait; ``None`` for a number.
        top, rest: share of rows that have it; medians of a number.
        measure: ``cohen_h`` of the shares, or ``cliff_delta`` of a number, in ``effect``.
        low, high: interval of ``top - rest`` for shares, of the effect for numbers.
        q: p-value, adjusted over all comparisons.
    """

    about: str
    value: str | None
    top: float
    rest: float
    measure: str
    effect: float
    low: float
    high: float
    q: float


@dataclass(frozen=True)
class Portrait:
    """One expert.

    Attributes:
        mean, sd: of its weight over rows.
        threshold: the weight from which a row is in the top quarter; ``None`` where none is.
        top_rows: how many are; 0 where its weight is the same for all, more than a quarter where
            more rows than that tie for the highest.
        moves_with: experts whose weight correlates with its own by .9 or more.
        stands_out: largest effect first; empty: nothing stands out.
    """

    expert: int
    mean: float
    sd: float
    threshold: float | None
    top_rows: int
    moves_with: list[int]
    stands_out: list[Trait]


def portraits(
    weights: NDArray[np.float32],
    users: NDArray[np.int64],
    yes_no: list[YesNo],
    numbers: list[Number],
    stream: np.random.Generator,
) -> tuple[list[Portrait], int]:
    """One for each of K experts, and how many comparisons were made.

    Args:
        weights: (n, K) of the rows, means over projections.
        users: (n,) whose rows they are, any ids.
    """
    dense = np.unique(users, return_inverse=True)[1]
    draws = user_draws(int(dense.max(initial=0)) + 1, RESAMPLES, stream)
    tops = [_top(weights[:, expert]) for expert in range(weights.shape[1])]
    told = [top.any() and not top.all() for top in tops]
    p_values = _p_values(np.stack(tops, axis=1), dense, yes_no, numbers, stream)
    compared = [
        _compared(top, dense, yes_no, numbers, draws, p) if has else []
        for top, has, p in zip(tops, told, p_values, strict=True)
    ]
    made = sum(map(len, compared))
    adjusted = iter(benjamini_hochberg([trait.q for found in compared for trait in found]))
    kept = [
        [replace(trait, q=float(next(adjusted))) for trait in found]  # The order of ``compared``.
        for found in compared
    ]
    together = _together(weights)
    return [
        Portrait(
            expert=expert,
            mean=float(weights[:, expert].mean()),
            sd=float(weights[:, expert].std()),
            threshold=float(weights[top, expert].min()) if top.any() else None,
            top_rows=int(top.sum()),
            moves_with=together[expert],
            stands_out=_standing_out(found),
        )
        for expert, (top, found) in enumerate(zip(tops, kept, strict=True))
    ], made


def _top(weights: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Rows above the third quartile; where more than a quarter have the highest weight, those.

    None where the weight is the same for all.
    """
    if len(weights) == 0 or float(weights.max() - weights.min()) < _STILL:
        return np.zeros(len(weights), dtype=bool)
    above = weights > np.quantile(weights, 1 - TOP)
    return above if above.any() else weights == weights.max()


def _compared(
    top: NDArray[np.bool_],
    users: NDArray[np.int64],
    yes_no: list[YesNo],
    numbers: list[Number],
    draws: NDArray[np.float64],
    p_values: NDArray[np.float64],
) -> list[Trait]:
    """Every trait of one expert's rows whose interval is known; ``q`` is not adjusted yet.

    Args:
        p_values: of the yes-or-no traits, then of the numbers.
    """
    found = []
    if yes_no:
        has = np.stack([trait.has for trait in yes_no], axis=1)
        shares = shares_apart(has, top, users, draws, CONFIDENCE)
        for trait, share, p in zip(yes_no, shares, p_values, strict=False):
            sides = (share.chosen, share.rest)
            told = _trait(trait.about, trait.value, sides, share.difference, share.cohens_h, p)
            found += [told] if told else []
    for number, p in zip(numbers, p_values[len(yes_no) :], strict=True):
        delta = cliffs_delta(number.values, top, users, draws, CONFIDENCE)
        medians = (_median(number.values[top]), _median(number.values[~top]))
        told = _trait(number.about, None, medians, delta, delta.value, p)
        found += [told] if told else []
    return found


def _p_values(
    tops: NDArray[np.bool_],
    users: NDArray[np.int64],
    yes_no: list[YesNo],
    numbers: list[Number],
    stream: np.random.Generator,
) -> NDArray[np.float64]:
    """(K, traits) p of each expert's top rows (n, K) being as the rest."""
    columns = [trait.has.astype(np.float64) for trait in yes_no]
    columns += [midranks(number.values) for number in numbers]
    if not columns:
        return np.empty((tops.shape[1], 0))
    return dealt_p(np.stack(columns, axis=1), tops, users, RESAMPLES, stream)


def _trait(
    about: str,
    value: str | None,
    sides: tuple[float, float],
    told: Effect,
    effect: float,
    p: float,
) -> Trait | None:
    """``None`` where resampling tells no interval."""
    if told.low is None or told.high is None:
        return None
    measure = "cliff_delta" if value is None else "cohen_h"
    return Trait(about, value, *sides, measure, effect, told.low, told.high, float(p))


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _standing_out(found: list[Trait]) -> list[Trait]:
    told = [trait for trait in found if trait.q <= FALSE and not trait.low <= 0 <= trait.high]
    return sorted(told, key=lambda trait: -abs(trait.effect))


def _together(weights: NDArray[np.float32]) -> list[list[int]]:
    """Of each expert the others that rise and fall with it."""
    spread = weights.std(axis=0) > _STILL
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.atleast_2d(np.corrcoef(weights, rowvar=False))
    return [
        [
            other
            for other in range(len(spread))
            if other != expert and spread[[expert, other]].all() and alike[expert, other] >= ALIKE
        ]
        for expert in range(len(spread))
    ]

"""Student's t of whole degrees of freedom (Abramowitz & Stegun, 26.7.3 and 26.7.4)."""

from __future__ import annotations

import math

_STEPS = 200
"""Halvings of a bracket: more than a float has bits."""


def within(t: float, freedom: int) -> float:
    """P(|T| < t) of ``freedom`` degrees of freedom, 1 or more."""
    assert freedom >= 1, "degrees of freedom"
    angle = math.atan(abs(t) / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2 == 1
    term = cosine if odd else 1.0
    total, power = 0.0, 1 if odd else 0
    while power <= freedom - 2:
        total += term
        power += 2
        term *= cosine * cosine * (power - 1) / power
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def quantile(confidence: float, freedom: int) -> float:
    """The t with ``within(t) == confidence``, for a confidence in [0, 1)."""
    low, high = 0.0, 1.0
    while within(high, freedom) < confidence:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if within(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return high

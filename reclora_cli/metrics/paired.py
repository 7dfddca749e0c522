"""The paired bootstrap's test of the difference between two models scored on the same rows."""

from __future__ import annotations

import numpy as np

from reclora_cli.metrics.rows import Floats


def bootstrap_p(differences: Floats) -> float | None:
    """Two-sided p-value that a difference is none, from its paired resamples (resamples,).

    Twice the smaller share of resamples on either side of zero, each count raised by one
    (Davison & Hinkley 1997, section 4.2), so it is never below 2 / (resamples + 1).
    ``None`` when no resample is defined.
    """
    defined = differences[~np.isnan(differences)]
    if len(defined) == 0:
        return None
    below, above = (defined <= 0).sum(), (defined >= 0).sum()
    return float(min(1.0, 2 * (1 + min(below, above)) / (1 + len(defined))))

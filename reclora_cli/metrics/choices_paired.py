"""The difference between two models' figures of the same rows, by the paired bootstrap.

Shapes: n rows.
"""

from __future__ import annotations

import numpy as np

from reclora_cli.errors import RecloraError
from reclora_cli.metrics.choices import ResampledShare, RowFigure
from reclora_cli.metrics.compare import SIGNIFICANT, Difference
from reclora_cli.metrics.intervals import bootstrap, interval
from reclora_cli.metrics.paired import bootstrap_p


def difference(
    ours: RowFigure,
    theirs: RowFigure,
    *,
    resamples: int,
    confidence: float,
    stream: np.random.Generator,
) -> Difference:
    """``ours`` minus ``theirs``; both are read under the same resamples of rows.

    Args:
        ours, theirs: one figure of two models, from ``Named.by_row`` or, of a ranking,
            ``RowFigure.mean`` of what ``ranking.by_row`` gives.

    Returns:
        with the interval and the p-value of the paired bootstrap; all ``None`` where one of both
        figures is undefined, and no interval of a single row.

    Raises:
        RecloraError: lengths differ.
    """
    rows = len(ours.values)
    if rows != len(theirs.values):
        raise RecloraError(f"figures of {rows} rows do not fit figures of {len(theirs.values)}")
    if ours.value is None or theirs.value is None:
        return Difference(None, None, None, None)
    # One row drawn again and again has no spread: that is not known, and not nought.
    drawn = rows if rows > 1 else 0
    both = bootstrap([ResampledShare(ours), ResampledShare(theirs)], drawn, resamples, stream)
    samples = both[:, 0] - both[:, 1]
    low, high = interval(samples, confidence) or (None, None)
    p = bootstrap_p(samples)
    significant = p is not None and p < SIGNIFICANT
    return Difference(ours.value - theirs.value, low, high, p, significant=significant)

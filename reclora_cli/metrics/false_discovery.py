"""Which of many comparisons are told, so that noise is not told as meaning.

Benjamini & Hochberg (1995), *Controlling the false discovery rate*, JRSS B 57(1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from reclora_cli.metrics.rows import Floats


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjusted p-values, (m,): keep those up to q, and at most a share q of them is false.

    Args:
        p_values: (m,) in [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted

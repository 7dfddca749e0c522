"""Micro-batches of prompts of like length: little padding, a bounded number of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def micro_batches(lengths: NDArray[Any], max_tokens: int) -> list[NDArray[np.int64]]:
    """Cut prompts into micro-batches of at most ``max_tokens`` padded tokens.

    The longest come first, so that a micro-batch too large for the memory shows at once; equally
    long ones keep their order. A single prompt longer than ``max_tokens`` is a batch of its own.

    Args:
        lengths: (n,) tokens of each prompt.
        max_tokens: rows times the longest row, in each micro-batch.

    Returns:
        Indices into ``lengths``; together each index once.
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        rows = max(1, max_tokens // longest)
        batches.append(order[start : start + rows])
        start += rows
    return batches


def padding_share(lengths: NDArray[Any], batches: Sequence[NDArray[np.int64]]) -> float:
    """Padding's share of all tokens that ``batches`` of prompts of these ``lengths`` compute."""
    lengths = np.asarray(lengths)
    computed = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    own = sum(int(lengths[batch].sum()) for batch in batches)
    return 1 - own / computed if computed else 0.0

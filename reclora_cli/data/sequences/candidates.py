"""The candidates of a row: what came next, among items that the user is not known to have had.

They are drawn once, from a stream of their own, and kept: every model chooses from the same ones.

Shapes: n rows, C candidates.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reclora_cli.data.sequences.rows import Ints
from reclora_cli.errors import RecloraError


def draw_candidates(
    target: Ints,
    past: Callable[[int], Ints],
    items: int,
    count: int,
    stream: np.random.Generator,
    where: str,
) -> Ints:
    """Candidates of each row, (n, C) int32: its target at a random place among C - 1 others.

    The others are drawn evenly from all items but the target and the row's past, each once.

    Args:
        target: (n,) item ids.
        past: row -> items that are no candidate.
        items: how many items there are.
        count: C.
        where: named by the error.

    Raises:
        RecloraError: a row leaves fewer than C - 1 items to draw from.
    """
    found = np.empty((len(target), count), dtype=np.int32)
    places = stream.integers(0, count, len(target))
    for row, truth in enumerate(target.tolist()):
        barred = {truth, *past(row).tolist()}
        if items - len(barred) < count - 1:
            raise RecloraError(
                f"row {row} leaves {items - len(barred)} of {items} items to draw "
                f"{count - 1} candidates from",
                where=where,
                hint="Take fewer: --set next.candidates=N, N at most one more than are left.",
            )
        found[row] = np.insert(_others(barred, items, count - 1, stream), places[row], truth)
    return found


def _others(barred: set[int], items: int, count: int, stream: np.random.Generator) -> list[int]:
    """``count`` different items that are not barred, each as likely as any other."""
    if 2 * (len(barred) + count) > items:
        left = np.setdiff1d(np.arange(items), list(barred))
        few: list[int] = stream.choice(left, count, replace=False).tolist()
        return few
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        item = int(stream.integers(items))
        if item not in barred:
            drawn[item] = None
    return list(drawn)

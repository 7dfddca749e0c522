"""Ranked behaviours: each row's own history, whole, best first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.audit.report import CHUNK, Check, Finding, chunks
from reclora_cli.data.store import InteractionsStore, Ints

PAST = "ranked behaviours lie in their row's own history"
SHAPE = "ranked behaviours are distinct, all there are, padding at the end"
BEST = "ranked behaviours are the most similar of the history, best first"

RANKED_AGAIN = 1024
"""Rows that are ranked again in full, spread evenly."""

_GRID = 2.0**26
_STEP = 2.0**-36
"""Cosines this close may stand in either order."""


def ranked_are_past(
    store: InteractionsStore, ranked: Ints, rows: Ints | None = None
) -> list[Check]:
    """Every ranked position is looked at.

    Histories themselves are checked apart (``pasts``), so it is enough to lie inside one's own.

    Args:
        ranked: (n, k) positions, best first, -1 after the end; may be memory-mapped.
        rows: (n,) row ids; every row of the store when not given.
    """
    n, k = ranked.shape
    expected = len(store) if rows is None else len(rows)
    if n != expected:
        return [Check("every row has ranked behaviours", False, n, f"{n} for {expected} rows")]
    past, shape = Finding(PAST, "row"), Finding(SHAPE, "row")
    for part in chunks(n, max(CHUNK // k, 1)):
        positions = np.asarray(ranked[part])
        of = np.arange(part.start, part.stop) if rows is None else rows[part]
        start, end = store.history_bounds(of)
        present = positions != -1
        outside = (positions < start[:, None]) | (positions >= end[:, None])
        past.look((present & outside).any(axis=1), part.start)
        shape.look(_is_ragged(positions, present, np.minimum(end - start, k)), part.start)
    return [past.check(), shape.check()]


def _is_ragged(positions: Ints, present: NDArray[np.bool_], lengths: Ints) -> NDArray[np.bool_]:
    ordered = np.sort(positions, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != -1)).any(axis=1)
    filled = np.arange(positions.shape[1]) < lengths[:, None]
    return twice | (present != filled).any(axis=1)


def ranked_are_the_best(
    store: InteractionsStore,
    ranked: Ints,
    vectors: NDArray[np.float32],
    rows: Ints | None = None,
) -> Check:
    """Some rows ranked again from the vectors, in the plain way.

    Args:
        vectors: (n_items, p) float32 of unit length, which cosines are read off.
    """
    found = Finding(BEST, "of the rows ranked again, number")
    n = len(ranked)
    for at in np.unique(np.linspace(0, n - 1, min(n, RANKED_AGAIN)).astype(np.int64)):
        row = int(at if rows is None else rows[at])
        found.look(np.array([_is_misranked(store, row, np.asarray(ranked[at]), vectors)]), row)
    return found.check()


def _is_misranked(
    store: InteractionsStore, row: int, ranked: Ints, vectors: NDArray[np.float32]
) -> bool:
    """Whether a row's ranking is out of order, or passes over a more similar behaviour.

    Of exactly equal cosines the later behaviour comes first.
    """
    at = int(store.row_position[row])
    start, end = int(store.user_start[store.user[at]]), int(store.history_end[row])
    chosen = ranked[ranked >= 0].astype(np.int64) - start
    if not len(chosen):
        return False
    if chosen.min() < 0 or chosen.max() >= end - start:
        return True
    target = _on_grid(vectors[store.item[at]])
    cosines = _on_grid(vectors[store.item[start:end]]) @ target / _GRID**2
    own = cosines[chosen]
    rises = own[1:] - own[:-1]
    if (rises > _STEP).any() or ((rises == 0) & (chosen[1:] > chosen[:-1])).any():
        return True
    others = np.delete(np.arange(end - start), chosen)
    better = cosines[others] - own[-1]
    return bool((better > _STEP).any() or ((better == 0) & (others > chosen[-1])).any())


def _on_grid(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Whole numbers, whose products add up to the same in any order."""
    return np.rint(np.asarray(vectors, dtype=np.float64) * _GRID)

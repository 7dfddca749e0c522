"""Pasts ranked by similarity to a target item: the long-short retriever.

Order: higher cosine first; of equal cosines (the same item, or items of equal text) the more
recent behaviour first. The first 60 are the CRM's, the first 10 of those are the prompt's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.progress import SILENT, Progress
from reclora_cli.retrieval.similarity import Similarity, similarity

_AGE_BITS = 24
_CELLS = 2**21
"""Similarities held at once: 16 MB as int64, which also keeps a block near the cache."""

Positions = NDArray[Any]


def rank_past(
    vectors: NDArray[np.float32],
    item_of_position: Positions,
    user_start: Positions,
    positions: Positions,
    ends: Positions,
    k: int,
    progress: Progress = SILENT,
    *,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """The ``k`` behaviours of each row's strict past that are most similar to its own item.

    Args:
        positions: (n,) position of each row's own behaviour; its item is the target.
        ends: (n,) exclusive end of each row's history, at most its own position.

    The other arguments, and what is returned, are those of ``rank_questions``.
    """
    users = np.searchsorted(user_start, positions, side="right") - 1
    targets = np.asarray(item_of_position)[positions]
    return rank_questions(
        vectors, item_of_position, user_start, users, targets, ends, k, progress, out=out
    )


def rank_questions(
    vectors: NDArray[np.float32],
    item_of_position: Positions,
    user_start: Positions,
    users: Positions,
    targets: Positions,
    ends: Positions,
    k: int,
    progress: Progress = SILENT,
    *,
    out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:
    """The ``k`` behaviours of each user's past that are most similar to a target item.

    Exact: every behaviour in ``user_start[user] .. end`` is compared, user by user.

    Args:
        vectors: (n_items, p) float32 of unit length (zero vectors are like nothing).
        item_of_position: (n_behaviours,) item of each position.
        user_start: (n_users + 1,) first position of each user.
        users: (n,) dense user ids.
        targets: (n,) dense item ids.
        ends: (n,) exclusive end in the CSR of what may be read of the user's behaviours.
        k: behaviours wanted.
        out: where to write, e.g. a memory-mapped file; made when not given.

    Returns:
        (n, k) int32 positions, best first, -1 where the past is shorter than ``k``.
    """
    assert item_of_position.shape[0] < 2**31, "positions fit int32"
    assert np.diff(user_start).max(initial=0) < 2**_AGE_BITS, "one user's behaviours fit the key"
    if out is None:
        out = np.empty((len(users), k), dtype=np.int32)
    assert out.shape == (len(users), k)
    cosine = similarity(vectors, len(users))
    with progress.task("rank behaviours", total=len(users), unit="rows") as task:
        for start, rows in _blocks(user_start, users, ends):
            past = np.asarray(item_of_position[start : max(int(ends[rows].max()), start)])
            out[rows] = _best(cosine, targets[rows], past, ends[rows] - start, k, start)
            task.advance(len(rows))
    return out


def _blocks(
    user_start: Positions, users: Positions, ends: Positions
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(first position of a user, rows of that user), few enough rows to fit ``_CELLS``."""
    order = np.lexsort((ends, users))
    bounds = np.flatnonzero(np.append(np.diff(users[order], prepend=-1) != 0, True))
    for first, last in itertools.pairwise(bounds):
        start = int(user_start[users[order[first]]])
        longest = max(int(ends[order[last - 1]]) - start, 1)
        size = max(_CELLS // longest, 1)
        for at in range(first, last, size):
            yield start, order[at : min(at + size, last)]


def _best(
    cosine: Similarity, targets: Positions, past: Positions, lengths: Positions, k: int, start: int
) -> NDArray[np.int64]:
    """Best ``k`` of one user's ``past`` for each target, as positions, (t, k).

    One whole number a behaviour carries cosine above age, so the order is total, and the best
    ones are found without moving indices about.
    """
    keys = (cosine.codes(targets, past) << _AGE_BITS) | np.arange(len(past))
    keys[np.arange(len(past)) >= lengths[:, None]] = -1
    if len(past) > k:
        keys = np.partition(keys, len(past) - k, axis=1)[:, len(past) - k :]
    keys = np.sort(keys, axis=1)[:, ::-1]
    ranked = np.full((len(targets), k), -1, dtype=np.int64)
    ranked[:, : keys.shape[1]] = np.where(keys < 0, -1, (keys & (2**_AGE_BITS - 1)) + start)
    return ranked

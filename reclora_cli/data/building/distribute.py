"""Records into buckets on disk, so that each bucket can be sorted in memory by itself.

Buckets are ranges of a key in ascending order: sorting each and putting them one behind the other
sorts everything. Distribution keeps the order of records within a bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.building.columns import Columns, Table

Ints = NDArray[Any]


def distributed(
    pieces: Iterable[Table], key: str, bounds: Ints, folder: Path, dtype: np.dtype[Any]
) -> Iterator[Table]:
    """The records of ``pieces``, bucket by bucket.

    Args:
        pieces: records of ``dtype``.
        key: the field that decides the bucket.
        bounds: ascending; bucket b holds the keys from ``bounds[b - 1]`` (or anything below) to
            just below ``bounds[b]`` (or anything above).
        folder: where the buckets lie meanwhile.
    """
    if not len(bounds):
        yield np.concatenate(list(pieces))
        return
    buckets = [Columns(folder / f"bucket-{at}", dtype) for at in range(len(bounds) + 1)]
    for piece in pieces:
        place = np.searchsorted(bounds, piece[key], side="right")
        order = np.argsort(place, kind="stable")
        ends = np.cumsum(np.bincount(place, minlength=len(buckets)))
        for bucket, records in zip(buckets, np.split(piece[order], ends[:-1]), strict=True):
            bucket.append(records)
    for bucket in buckets:
        records = bucket.read()
        bucket.remove()
        yield records


def even_bounds(counts: Ints, most: int) -> Ints:
    """Bounds of ranges of consecutive keys that hold at most ``most`` records each.

    Args:
        counts: (keys,) records of each key 0, 1, ...; one key alone may hold more than ``most``.
        most: records of a range.
    """
    if counts.sum() <= most:
        return np.empty(0, dtype=np.int64)
    ends = np.cumsum(counts)
    bounds: list[int] = []
    done = 0
    while ends[-1] - done > most:
        # The first key that no longer fits; at least one key goes into each range.
        at = int(np.searchsorted(ends, done + most, side="right"))
        at = max(at, bounds[-1] + 1 if bounds else 1)
        if at >= len(ends):
            break
        bounds.append(at)
        done = int(ends[at - 1])
    return np.array(bounds, dtype=np.int64)

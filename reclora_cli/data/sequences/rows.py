"""Rows of the task ``next``, and what a source of them gives.

Shapes: n rows, L items of history at most, C candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Ints = NDArray[Any]

PADDING = -1
"""Stands in a history behind its last item; also a user or a time that is not known."""

Past = Callable[[str, int], Ints]
"""(split, row) -> the items of the row's user that are known to come before its target."""


@dataclass(frozen=True)
class SequenceRows:
    """Rows of one split; all arrays have the same n.

    Attributes:
        history: (n, L) int32 dense item ids in time order, ``PADDING`` at the end.
        length: (n,) int32, how many they are: one at least.
        target: (n,) int32, the item that came next.
        user: (n,) int32, or ``PADDING`` where it is not known.
        time: (n,) int64, of the target, or ``PADDING`` where it is not known.
    """

    history: Ints
    length: Ints
    target: Ints
    user: Ints
    time: Ints

    def __len__(self) -> int:
        return len(self.target)

    def chosen(self, rows: Ints) -> SequenceRows:
        """Those of ``rows``: ids (m,), or a mask (n,)."""
        return SequenceRows(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def of(
        cls, history: Ints, target: Ints, user: Ints | None = None, time: Ints | None = None
    ) -> SequenceRows:
        """Rows of a padded ``history``; lengths are counted, users and times may be unknown."""
        unknown = np.full(len(target), PADDING)
        return cls(
            history=history.astype(np.int32),
            length=(history != PADDING).sum(axis=1).astype(np.int32),
            target=np.asarray(target, dtype=np.int32),
            user=(unknown if user is None else user).astype(np.int32),
            time=(unknown if time is None else time).astype(np.int64),
        )


@dataclass(frozen=True)
class Sequences:
    """What a source gives, before candidates are drawn.

    Attributes:
        items: in dense id order: item_id as in the source, title.
        splits: train, valid, test -> rows.
        past: what no candidate of a row may be.
        noun: what an item is called.
        split_by: how rows came into their splits, in words.
        by_time: whether no target of a split comes before one of the split before it.
        left_out: rows or behaviours that are not in it, by reason.
    """

    items: pd.DataFrame
    splits: Mapping[str, SequenceRows]
    past: Past
    noun: str
    split_by: str
    by_time: bool
    left_out: Mapping[str, int]


def past_is_history(splits: Mapping[str, SequenceRows]) -> Past:
    """The past of sources that tell no more of a user than the row's own history."""

    def past(split: str, row: int) -> Ints:
        rows = splits[split]
        return rows.history[row, : rows.length[row]]

    return past


def windows(items: Ints, starts: Ints, ends: Ints, length: int) -> Ints:
    """The last ``length`` of ``items[start:end]`` for each row, (n, length) int32, padded behind.

    Args:
        items: (N,) sequences, one after the other.
        starts, ends: (n,) bounds of what each row may read.
    """
    first = np.maximum(starts, ends - length)
    at = first[:, None] + np.arange(length)
    inside = at < ends[:, None]
    return np.where(inside, items[np.where(inside, at, 0)], PADDING).astype(np.int32)

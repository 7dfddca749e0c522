"""What a break-down of rows reads: what training has seen of them, and how much history they have.

Four columns a row, computed when they are asked for: at 25 million rows they take two seconds,
which is less than writing and reading a table of them. Score files carry them with each row, so
a break-down of scores needs no store.

Popularity bins are fixed counts of training rows, four to five times wider each: a bin means the
same in every dataset (how often the item's embedding was trained), where quantiles of a long
tail would put items of one and of twenty ratings together. ``0`` is an item unseen in training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.store import InteractionsStore, Ints

HISTORY_BOUNDS = (0, 10, 30, 100, 300)
"""First length of each bin of history lengths; the last is open."""

BREAK_DOWNS = ("user", "item", "history", "popularity")
"""What rows are broken down by, in the order of tables."""

POPULARITY_BOUNDS = (0, 1, 5, 20, 100, 500, 2_000, 10_000)
"""First training count of each bin of popularity; the last is open."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class OneRow:
    """The columns of one row; its popularity as the bin is called, e.g. ``20-99``."""

    seen_user: bool
    seen_item: bool
    history_length: int
    popularity: str


@dataclass(frozen=True)
class RowSlices:
    """The four columns of n rows.

    Attributes:
        seen_user: (n,) bool, the row's user has a training row.
        seen_item: (n,) bool, the row's item is the target of a training row.
        history_length: (n,) int32, behaviours in the row's past.
        popularity_bin: (n,) uint8, index into ``POPULARITY_BOUNDS``.
    """

    seen_user: NDArray[np.bool_]
    seen_item: NDArray[np.bool_]
    history_length: NDArray[np.int32]
    popularity_bin: NDArray[np.uint8]

    def of(self, at: int) -> OneRow:
        """The row at index ``at``."""
        return OneRow(
            seen_user=bool(self.seen_user[at]),
            seen_item=bool(self.seen_item[at]),
            history_length=int(self.history_length[at]),
            popularity=bin_labels(POPULARITY_BOUNDS)[self.popularity_bin[at]],
        )

    def break_downs(self) -> dict[str, dict[str, NDArray[np.bool_]]]:
        """Each break-down's bins, as masks (n,) bool that part the rows; empty bins are left out.

        By ``user`` and ``item``: ``seen``, ``unseen``; by ``history``: ``0-9`` and on; by
        ``popularity``: ``0`` and on.
        """
        lengths = _bins(self.history_length, HISTORY_BOUNDS)
        found = {
            "user": {"seen": self.seen_user, "unseen": ~self.seen_user},
            "item": {"seen": self.seen_item, "unseen": ~self.seen_item},
            "history": _masks(lengths, HISTORY_BOUNDS),
            "popularity": _masks(self.popularity_bin, POPULARITY_BOUNDS),
        }
        return {
            by: {label: mask for label, mask in bins.items() if mask.any()}
            for by, bins in found.items()
        }

    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """The bins of all break-downs under one name each: ``unseen user``, ``history 0-9``."""
        return {
            f"{label} {by}" if by in ("user", "item") else f"{by} {label}": mask
            for by, bins in self.break_downs().items()
            for label, mask in bins.items()
        }


def row_slices(store: InteractionsStore, rows: Ints) -> RowSlices:
    """The slices' columns of ``rows``, (n,) row ids."""
    return RowSlices(
        seen_user=seen_user(store, rows),
        seen_item=seen_item(store, rows),
        history_length=history_length(store, rows),
        popularity_bin=_bins(training_counts(store), POPULARITY_BOUNDS)[store.row_item(rows)],
    )


def seen_user(store: InteractionsStore, rows: Ints) -> NDArray[np.bool_]:
    """Whether each row's user has a training row, (n,) bool."""
    return store.seen_users[store.row_user(rows)]


def seen_item(store: InteractionsStore, rows: Ints) -> NDArray[np.bool_]:
    """Whether each row's item is the target of a training row, (n,) bool."""
    return store.seen_items[store.row_item(rows)]


def history_length(store: InteractionsStore, rows: Ints) -> NDArray[np.int32]:
    """Behaviours in each row's past, (n,) int32."""
    start, end = store.history_bounds(rows)
    return (end - start).astype(np.int32)


def training_counts(store: InteractionsStore) -> NDArray[np.int64]:
    """Training rows whose target each item is, (n_items,) int64."""
    counts = np.zeros(store.header.items, dtype=np.int64)
    train = store.split("train")
    for first in range(train.start, train.stop, _CHUNK):
        at = store.row_position[first : min(first + _CHUNK, train.stop)]
        counts += np.bincount(store.item[at], minlength=len(counts))
    return counts


def bin_labels(bounds: tuple[int, ...]) -> list[str]:
    """What each bin is called: ``0``, ``1-4``, ..., ``10,000+``."""
    labels = []
    for low, following in zip(bounds, (*bounds[1:], None), strict=True):
        if following is None:
            labels.append(f"{low:,}+")
        elif following == low + 1:
            labels.append(f"{low:,}")
        else:
            labels.append(f"{low:,}-{following - 1:,}")
    return labels


def _masks(at: NDArray[np.uint8], bounds: tuple[int, ...]) -> dict[str, NDArray[np.bool_]]:
    return {label: at == index for index, label in enumerate(bin_labels(bounds))}


def _bins(values: Ints, bounds: tuple[int, ...]) -> NDArray[np.uint8]:
    """Index of the bin that each value falls into."""
    return (np.searchsorted(bounds, values, side="right") - 1).astype(np.uint8)

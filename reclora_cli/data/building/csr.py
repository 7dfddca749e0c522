"""The CSR: all interactions in order of (user, timestamp, item), sorted range by range of users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.building.columns import (
    INTERACTION,
    PIECE,
    ArrayWriter,
    Columns,
    Table,
    pieces_of,
)
from reclora_cli.data.building.distribute import distributed, even_bounds

Ints = NDArray[Any]

_KEY_BITS = 63


@dataclass(frozen=True)
class Relabelling:
    """What the codes of a spool become.

    Attributes:
        user: dense id of each user code, -1 where the user does not stay; ``item`` likewise.
        rating: code on the final scale of each rating code.
        kept: (n,) whether each interaction stays.
    """

    user: Ints
    item: Ints
    rating: Ints
    kept: NDArray[np.bool_]

    def pieces(self, columns: Columns, most: int) -> Iterator[Table]:
        """The interactions that stay, with final codes, in file order."""
        done = 0
        for piece in columns.pieces(most):
            kept = piece[self.kept[done : done + len(piece)]]
            done += len(piece)
            for name, codes in (("user", self.user), ("item", self.item), ("rating", self.rating)):
                kept[name] = codes[kept[name]]
            yield kept


def write_csr(
    columns: Columns,
    relabelling: Relabelling,
    folder: Path,
    users: int,
    likes: NDArray[np.bool_],
    most: int = PIECE,
) -> int:
    """Write user, item, rating, time, label and user_start ``.npy`` into ``folder``.

    Of interactions equal in user, time and item the last in the file stays.

    Args:
        columns: the spooled interactions.
        users: how many dense user ids there are.
        likes: whether each final rating code is a like.
        most: interactions sorted at once.

    Returns:
        How many repeated interactions were dropped.
    """
    counts = np.zeros(users, dtype=np.int64)
    for piece in relabelling.pieces(columns, most):
        counts += np.bincount(piece["user"], minlength=users)
    bounds = even_bounds(counts, most)
    final, repeated = np.zeros(users, dtype=np.int64), 0
    with (
        ArrayWriter(folder / "user.npy", np.int32) as user,
        ArrayWriter(folder / "item.npy", np.int32) as item,
        ArrayWriter(folder / "rating.npy", np.uint8) as rating,
        ArrayWriter(folder / "time.npy", np.int64) as time,
        ArrayWriter(folder / "label.npy", np.uint8) as label,
    ):
        parts = relabelling.pieces(columns, most)
        for part in distributed(parts, "user", bounds, folder, INTERACTION):
            ordered, dropped = _ordered(part)
            repeated += dropped
            final += np.bincount(ordered["user"], minlength=users)
            user.append(ordered["user"])
            item.append(ordered["item"])
            rating.append(ordered["rating"])
            time.append(ordered["time"])
            label.append(likes[ordered["rating"]])
    np.save(folder / "user_start.npy", np.concatenate([[0], np.cumsum(final)]).astype(np.int64))
    return repeated


def _ordered(part: Table) -> tuple[Table, int]:
    """``part`` by (user, time, item), and how many repetitions were dropped from it."""
    user, time, item = (np.ascontiguousarray(part[name]) for name in ("user", "time", "item"))
    order = stable_order(user, time, item)  # of equal ones the last in the file is last
    last = np.ones(len(order), dtype=bool)
    last[:-1] = False
    for key in (user, time, item):
        values = key[order]
        last[:-1] |= values[1:] != values[:-1]
    return part[order[last]], int((~last).sum())


def stable_order(*keys: Ints) -> Ints:
    """The stable order by whole numbers ``keys`` (n,) each, most important first, (n,) int64.

    Where their ranges fit one 64-bit number they are packed into it: one sort of numbers is six
    times faster than ``np.lexsort`` of three keys.
    """
    if not len(keys[0]):
        return np.empty(0, dtype=np.int64)
    lows = [int(key.min()) for key in keys]
    bits = [(int(key.max()) - low).bit_length() for key, low in zip(keys, lows, strict=True)]
    if sum(bits) > _KEY_BITS:
        return np.lexsort(keys[::-1])
    packed = np.zeros(len(keys[0]), dtype=np.int64)
    for key, low, width in zip(keys, lows, bits, strict=True):
        packed <<= width
        packed |= key.astype(np.int64) - low
    return np.argsort(packed, kind="stable")


def write_first_of_second(folder: Path, most: int = PIECE) -> Path:
    """For each position the first position of the same user and second, as an int32 ``.npy``."""
    user, time = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("user", "time"))
    file = folder / "first_of_second.npy"
    first = 0
    with ArrayWriter(file, np.int32) as out:
        for part in pieces_of(len(user), most):
            before = slice(max(part.start - 1, 0), part.stop)
            users, times = np.asarray(user[before]), np.asarray(time[before])
            starts = np.ones(part.stop - part.start, dtype=bool)
            new = (users[1:] != users[:-1]) | (times[1:] != times[:-1])
            starts[len(starts) - len(new) :] = new
            places = np.where(starts, np.arange(part.start, part.stop), first)
            firsts = np.maximum.accumulate(places)
            first = int(firsts[-1])
            out.append(firsts)
    return file

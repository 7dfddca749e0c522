"""The rows: every behaviour after its user's warm-up, in global order of (time, user, item)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.building.columns import PIECE, ArrayWriter, Table, pieces_of
from reclora_cli.data.building.csr import write_first_of_second
from reclora_cli.data.building.distribute import distributed

Ints = NDArray[Any]

_TARGET = np.dtype([("position", "<i4"), ("time", "<i8")])
_SAMPLE = 2**20


def write_rows(folder: Path, warm_up: int, ties: str, most: int = PIECE) -> int:
    """Write row_position and history_end ``.npy`` of the CSR in ``folder``.

    Args:
        warm_up: first behaviours of each user that are no rows.
        ties: ``exclude`` ends a history before its row's own second.
        most: rows sorted at once, as far as times differ.

    Returns:
        How many rows there are.
    """
    ends = (
        np.load(write_first_of_second(folder, most), mmap_mode="r") if ties == "exclude" else None
    )
    bounds = _time_bounds(folder, most)
    with (
        ArrayWriter(folder / "row_position.npy", np.int32) as row_position,
        ArrayWriter(folder / "history_end.npy", np.int32) as history_end,
    ):
        for part in distributed(_targets(folder, warm_up, most), "time", bounds, folder, _TARGET):
            # Positions ascend in (user, time, item), so a stable sort by time alone gives
            # (time, user, item).
            order = np.argsort(np.ascontiguousarray(part["time"]), kind="stable")
            positions = part["position"][order]
            row_position.append(positions)
            history_end.append(positions if ends is None else ends[positions])
    (folder / "first_of_second.npy").unlink(missing_ok=True)
    return len(row_position)


def _targets(folder: Path, warm_up: int, most: int) -> Iterator[Table]:
    """Positions and times of all rows, in order of position."""
    user, time = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("user", "time"))
    start = np.load(folder / "user_start.npy")
    for part in pieces_of(len(user), most):
        position = np.arange(part.start, part.stop)
        position = position[position - start[user[part]] >= warm_up]
        records = np.empty(len(position), dtype=_TARGET)
        records["position"] = position
        records["time"] = time[position]
        yield records


def _time_bounds(folder: Path, most: int) -> Ints:
    """Times that part the behaviours into about equal buckets of at most ``most``, by a sample."""
    time = np.load(folder / "time.npy", mmap_mode="r")
    buckets = -(-len(time) // most)
    if buckets == 1:
        return np.empty(0, dtype=np.int64)
    sample = np.sort(time[:: max(len(time) // _SAMPLE, 1)])
    return np.unique(sample[np.arange(1, buckets) * len(sample) // buckets])

"""All rows' ranked pasts in a file, made so that a killed run goes on where it stood.

ranked.partial        (rows so far, k) int32 in working order (user by user), appended to
ranked.partial.json   {"identity", "k", "rows"}: so many rows are safely on the disk
ranked.npy            (n_rows, k) int32 in row order, when all are there

Working order is kept until the end because a user's rows lie scattered over all of time: written
to their places at once, every save would touch every page of a file of gigabytes.
"""

from __future__ import annotations

import json
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.progress import SILENT, Progress
from reclora_cli.retrieval.ranked import Asked, Ranker
from reclora_cli.workspace import atomic_file, write_json

RANKED = "ranked.npy"
PARTIAL, PARTIAL_TOLD = "ranked.partial", "ranked.partial.json"
SAVE_SECONDS = 10.0
"""A killed run loses what it ranked in so long, on a machine that loses its memory with it."""

_BYTES = 4
_PUT_AT_ONCE = 16_384
"""Rows put into row order at once: each may lie in a page (4 KB) of its own, up to 64 KB mapped."""


def write_ranked(
    ranker: Ranker,
    asked: Asked,
    k: int,
    folder: Path,
    identity: str,
    progress: Progress = SILENT,
) -> Path:
    """Rank every question of ``asked`` into ``folder / ranked.npy``, (n, k) int32.

    Args:
        identity: of vectors and rows; what is there of another identity is begun anew.
    """
    partial = _Partial(folder, {"identity": identity, "k": k})
    done = partial.resume()
    if done:
        progress.say(f"ranking goes on at row {done:,} of {len(asked):,}")
    with (
        progress.task("rank behaviours", total=len(asked) - done, unit="rows") as task,
        partial.appending(done) as file,
    ):
        for _, ranked in ranker.in_blocks(asked, k, first=done):
            file.write(np.ascontiguousarray(ranked, dtype="<i4").tobytes())
            task.advance(len(ranked))
            partial.save(file)
    _put_in_row_order(folder / PARTIAL, asked.order, k, folder / RANKED, progress)
    partial.remove()
    return folder / RANKED


@dataclass
class _Partial:
    """The rows ranked so far, and how many of them the disk is known to hold."""

    folder: Path
    told: dict[str, Any]
    saved: float = 0.0

    def resume(self) -> int:
        """Rows that are safe; the file is cut back to them, or begun anew."""
        file, told = self.folder / PARTIAL, _read(self.folder / PARTIAL_TOLD)
        rows = told.pop("rows", 0)
        size = file.stat().st_size if file.is_file() else 0
        if told != self.told or not isinstance(rows, int) or size < rows * self._row_bytes:
            self.remove()
            return 0
        os.truncate(file, rows * self._row_bytes)
        return rows

    @contextmanager
    def appending(self, done: int) -> Iterator[IO[bytes]]:
        with (self.folder / PARTIAL).open("ab") as file:
            self.saved = time.monotonic()
            yield file
            file.flush()

    def save(self, file: IO[bytes]) -> None:
        """Now and then: have the disk hold what was written, then say so."""
        if time.monotonic() - self.saved < SAVE_SECONDS:
            return
        file.flush()
        os.fsync(file.fileno())
        rows = file.tell() // self._row_bytes
        write_json(self.folder / PARTIAL_TOLD, {**self.told, "rows": rows})
        self.saved = time.monotonic()

    def remove(self) -> None:
        (self.folder / PARTIAL_TOLD).unlink(missing_ok=True)
        (self.folder / PARTIAL).unlink(missing_ok=True)

    @property
    def _row_bytes(self) -> int:
        return int(self.told["k"]) * _BYTES


def _put_in_row_order(
    partial: Path, order: NDArray[np.int64], k: int, file: Path, progress: Progress
) -> None:
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    with (
        atomic_file(file) as out,
        progress.task("put in row order", total=len(order), unit="rows") as task,
    ):
        np.lib.format.write_array_header_1_0(
            out, {"descr": "<i4", "fortran_order": False, "shape": (len(order), k)}
        )
        for ranked in _picked(partial, place, k):
            out.write(ranked.tobytes())
            task.advance(len(ranked))


def _picked(partial: Path, place: NDArray[np.int32], k: int) -> Iterator[NDArray[np.int32]]:
    """Rows of ``partial`` at ``place`` (n,), some at a time."""
    if len(place) == 0:
        return  # an empty file cannot be mapped
    with (
        partial.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        for start in range(0, len(place), _PUT_AT_ONCE):
            part = place[start : start + _PUT_AT_ONCE]
            yield np.frombuffer(mapped, dtype="<i4").reshape(-1, k)[part]
            if hasattr(mmap, "MADV_DONTNEED"):  # what was read need not stay mapped
                mapped.madvise(mmap.MADV_DONTNEED)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

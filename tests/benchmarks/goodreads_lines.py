"""What made-up lines of GoodReads are put together from, and how they become a gzip file.

Lines are put together by Arrow, column by column, and compressed by zlib on all cores; each chunk
becomes one member of the gzip file.
"""

from __future__ import annotations

import calendar
import os
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Part = str | pa.Array

WORDS = [
    *("Winter", "Glass", "Garden", "River", "Stone", "Caf\\u00e9", "Silence", "Raven", "Harbour"),
    *("Orchard", "Letter", "Empire", "Shadow", "Daughter", "Clockmaker", "Sea", "Mountain"),
    *("Secret", "Fire", "Autumn", "Queen", "Wolf", "Bridge", "Lantern", "Thief", "Crown"),
    *("Forest", "Mirror", "Island", "Stranger", "Hunger", "Storm", "Promise", "Ghost", "Song"),
]
_FIRST_DAY, _LAST_DAY = date(2007, 1, 1), date(2017, 10, 31)
DAYS = (_LAST_DAY - _FIRST_DAY).days
_COMPRESSION = 1
_ALL_DAYS = [_FIRST_DAY + timedelta(at) for at in range(DAYS)]
_DAY_NAMES = [
    f"{calendar.day_abbr[day.weekday()]} {calendar.month_abbr[day.month]} {day.day:02} "
    for day in _ALL_DAYS
]
_YEARS = [f" -0{7 if 3 < day.month < 11 else 8}00 {day.year}" for day in _ALL_DAYS]
_CLOCKS = [f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}" for s in range(86400)]
_HEX_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def write_lines(path: Path, chunks: Iterator[bytes]) -> None:
    """Compress chunks of lines into one gzip file, several at a time, in their order."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[bytes]] = deque()
    with path.open("wb") as out, ThreadPoolExecutor(workers) as pool:
        for chunk in chunks:
            waiting.append(pool.submit(_member, chunk))
            if len(waiting) > workers:
                out.write(waiting.popleft().result())
        for member in waiting:
            out.write(member.result())


def _member(lines: bytes) -> bytes:
    packer = zlib.compressobj(_COMPRESSION, wbits=zlib.MAX_WBITS | 16)
    return packer.compress(lines) + packer.flush()


def dates(random: np.random.Generator, days: Ints) -> pa.Array:
    """A moment on each day, as ``Mon Aug 10 22:28:14 -0700 2009``."""
    clocks = pa.array(_CLOCKS).take(pa.array(random.integers(0, 86400, len(days))))
    on = pa.array(days)
    return joined([pa.array(_DAY_NAMES).take(on), clocks, pa.array(_YEARS).take(on)])


def hex_ids(random: np.random.Generator, n: int) -> pa.Array:
    """n random ids of 32 hex digits."""
    content = np.frombuffer(random.bytes(16 * n), dtype=np.uint8)
    digits = np.stack([_HEX_DIGITS[content >> 4], _HEX_DIGITS[content & 15]], axis=1)
    offsets = pa.py_buffer(np.arange(0, 32 * n + 1, 32, dtype=np.int32))
    return pa.StringArray.from_buffers(n, offsets, pa.py_buffer(digits.tobytes()))


def text(numbers: Ints) -> pa.Array:
    return pc.cast(pa.array(numbers), pa.string())


def joined(parts: list[Part]) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def lines_of(parts: list[Part]) -> bytes:
    """Lines of parts that each end in a line break, in one piece."""
    lines = joined(parts)
    ends = np.frombuffer(lines.buffers()[1], dtype=np.int32)
    return lines.buffers()[2].to_pybytes()[: int(ends[len(lines)])]

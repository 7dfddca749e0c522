"""Scores of a file of pairs while they are made: one file that only grows, block by block.

    header      one line of JSON: what the scores are of
    block       CRC-32 of what follows (4 bytes), then a record of 9 bytes for each pair

Every block is of the same number of pairs but the last. Who is killed loses the block under way; a
block that was cut short or damaged does not fit its CRC, and it and all after it are made again.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.workspace import explain_os_errors

RECORD = np.dtype([("probability", "<f8"), ("note", "u1")])
"""P(yes), NaN where there is none, and a code of what is to be said of the pair."""

_CRC = 4

Records = NDArray[np.void]


@dataclass(frozen=True)
class KeptPairs:
    """The file, of ``total`` pairs in blocks of ``block``.

    Attributes:
        told: what decides the scores; a file of anything else is begun anew.
    """

    file: Path
    told: Mapping[str, Any]
    total: int
    block: int

    def whole_blocks(self) -> int:
        """How many blocks it holds, from the first on; what follows them is cut off."""
        return len(self._blocks(cut=True))

    def is_of_another(self) -> bool:
        """Whether it is there, and of something else."""
        return self.file.exists() and not self._fits()

    def append(self, records: Records) -> None:
        """Write down the next block; it is on the disk afterwards."""
        data = records.astype(RECORD).tobytes()
        with explain_os_errors(self.file, "--output"):
            if not self._fits():
                self.file.write_bytes(self._header)
            with self.file.open("ab") as opened:
                opened.write(zlib.crc32(data).to_bytes(_CRC, "little") + data)
                opened.flush()
                os.fsync(opened.fileno())

    def records(self) -> Records:
        """All that it holds, in order, (n,) of ``RECORD``."""
        return np.concatenate([np.empty(0, RECORD), *self._blocks(cut=False)])

    @property
    def _header(self) -> bytes:
        return json.dumps({**self.told, "total": self.total, "block": self.block}).encode() + b"\n"

    def _fits(self) -> bool:
        if not self.file.exists():
            return False
        with self.file.open("rb") as opened:
            return opened.read(len(self._header)) == self._header

    def _blocks(self, *, cut: bool) -> list[Records]:
        if not self._fits():
            return []
        found: list[Records] = []
        with self.file.open("r+b" if cut else "rb") as opened:
            end = opened.seek(len(self._header))
            for start in range(0, self.total, self.block):
                size = min(self.block, self.total - start) * RECORD.itemsize
                crc, data = opened.read(_CRC), opened.read(size)
                if len(data) < size or zlib.crc32(data).to_bytes(_CRC, "little") != crc:
                    break
                found.append(np.frombuffer(data, RECORD))
                end += _CRC + size
            if cut:
                opened.truncate(end)
        return found
